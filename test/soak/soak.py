#!/usr/bin/python3
"""Works on a Veneer mount with all that there is, for so many seconds, and fails if anything goes wrong, grows or is left.

usage: soak.py VENEER SECONDS SEED

The time is split into rounds. In each, all loads of loads.sh run at once, while some of the kernel's caches are dropped now
and then and the daemon may use no more than `MEMORY_LIMIT` (a memory cgroup). After each round what the loads made is removed,
caches are dropped, and the daemon's private memory and descriptors are taken. Then the mount is taken down, and the kernel's
overlayfs has to show the same tree on the same layers.

The seed decides what the loads choose, in which order the stressors come, and when which caches are dropped. How far each load is by
then it can't decide.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time

MEMORY_LIMIT = 160 << 20
# After a round the daemon holds no more than after the first one. V8 gives back pages when it likes: what a heap of this size
# keeps between two collections is no growth.
MEMORY_SLACK_KB = 30_000
# I/O threads start when they are first needed, the first round may not have needed all.
DESCRIPTOR_SLACK = 4
LOADS = {"stress_ng": 2, "fio_verify": 1, "dbench8": 1, "git_work": 2, "dpkg_work": 1, "lower_work": 1}
HERE = os.path.dirname(os.path.realpath(__file__))
STDLIB = sysconfig.get_path("stdlib")


class Failure(Exception):
    pass


def run(*argv, limit=60, **options):
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=limit, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(argv)[:200]}: status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def build_lowers(scratch):
    """Two lowers: a copy of Python's library, and a repository of it with two packages made from it."""
    library, made = f"{scratch}/library", f"{scratch}/made"
    ignore = shutil.ignore_patterns("test", "__pycache__", "config-*", "*-packages")
    shutil.copytree(STDLIB, f"{library}/python", symlinks=True, ignore=ignore)
    repository = f"{made}/repository"
    os.makedirs(repository)
    git = ["git", "-C", repository, "-c", "user.name=soak", "-c", "user.email=soak@localhost"]
    run(*git, "init", "-q")
    sources = sorted(name for name in os.listdir(STDLIB) if name.endswith(".py"))
    for index in range(4):
        directory = f"{repository}/d{index}"
        os.mkdir(directory)
        for name in sources[index * 30 : index * 30 + 30]:
            shutil.copyfile(f"{STDLIB}/{name}", f"{directory}/{name}")
        run(*git, "add", "-A")
        run(*git, "commit", "-q", "-m", f"part {index}")
    packages = f"{made}/packages"
    os.mkdir(packages)
    for version in (1, 2):
        root = f"{scratch}/package{version}"
        shutil.copytree(f"{STDLIB}/email", f"{root}/usr/lib/soak/email", ignore=ignore)
        shutil.copytree(f"{STDLIB}/json", f"{root}/usr/lib/soak/v{version}", ignore=ignore)
        os.mkdir(f"{root}/DEBIAN")
        with open(f"{root}/DEBIAN/control", "w", encoding="ascii") as control:
            control.write(f"Package: soak\nVersion: {version}\nArchitecture: all\nMaintainer: soak\nDescription: soak\n")
        sums = run("find", "usr", "-type", "f", "-exec", "md5sum", "{}", "+", cwd=root)
        with open(f"{root}/DEBIAN/md5sums", "w", encoding="utf-8") as file:
            file.write(sums)
        run("dpkg-deb", "--build", "--root-owner-group", root, f"{packages}/soak_{version}.deb")
    return [made, library]


class MemoryGroup:
    """A memory cgroup, of either version; without one, `path` is None and says so."""

    def __init__(self):
        self.path = None
        name = f"veneer-soak-{os.getpid()}"
        for parent, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
            path = f"{parent}/{name}"
            try:
                os.mkdir(path)
                with open(f"{path}/{limit}", "r+", encoding="ascii") as file:
                    file.write(str(MEMORY_LIMIT))
                self.path = path
                return
            except OSError:
                if os.path.isdir(path):
                    os.rmdir(path)
        print("soak: no memory cgroup can be made here: the daemon's memory is not limited")

    def enter(self):
        if self.path is not None:
            with open(f"{self.path}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

    def kills(self):
        """How often a process was killed as it wanted more than the limit."""
        for name in ("memory.events", "memory.oom_control"):
            path = f"{self.path}/{name}"
            if self.path is not None and os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        return 0

    def remove(self):
        """Returns when its processes have ended, or after ten seconds."""
        for _ in range(100):
            try:
                if self.path is not None:
                    os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


class Mount:
    def __init__(self, veneer, scratch, lowers, group):
        self.veneer, self.lowers = veneer, lowers
        self.point, self.log = f"{scratch}/mnt", f"{scratch}/log"
        self.upper, self.work = f"{scratch}/upper", f"{scratch}/work"
        for path in (self.point, self.upper, self.work):
            os.mkdir(path)
        self.layers = f"lowerdir={':'.join(lowers)},upperdir={self.upper},workdir={self.work}"
        run(veneer, "mount", "--log-file", self.log, "-o", self.layers, self.point, preexec_fn=group.enter)
        self.daemon = self.holder()

    def holder(self):
        inode = os.lstat(self.upper).st_ino
        with open("/proc/locks", encoding="ascii") as locks:
            return next(int(line.split()[4]) for line in locks if " FLOCK " in line and f":{inode} " in line)

    def usage(self):
        """Private memory in kB, and descriptors."""
        try:
            with open(f"/proc/{self.daemon}/smaps_rollup", encoding="ascii") as rollup:
                private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
            return private, len(os.listdir(f"/proc/{self.daemon}/fd"))
        except (FileNotFoundError, ProcessLookupError) as gone:
            raise Failure("the daemon is gone; the kernel's log says whether it wanted more memory than it may have") from gone

    def manifest(self):
        return run(sys.executable, f"{HERE}/../rootfs/manifest.py", self.point, limit=300)

    def unmount(self):
        run(self.veneer, "umount", self.point)
        for _ in range(100):
            if not os.path.exists(f"/proc/{self.daemon}"):
                return
            time.sleep(0.1)
        raise Failure("the daemon did not end with its mount")

    def complaints(self):
        with open(self.log, encoding="utf-8") as log:
            return [line.strip() for line in log if json.loads(line)["level"] in ("warn", "error")]


def drop_caches(which):
    """1 is pages, 2 is names and inodes, 3 both."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write(str(which))


def spend_round(mount, number, seconds, scratch, seed):
    """All loads at once. @returns the most private memory that the daemon had"""
    running = {}
    for load, copies in LOADS.items():
        for copy in range(copies):
            name = f"{load}{copy}"
            with open(f"{scratch}/{name}.out", "wb") as out:
                argv = [f"{HERE}/loads.sh", load, str(seconds), f"{mount.point}/{name}", str(number * copies + copy), str(seed)]
                environment = {**os.environ, "SOAK_PYTHON": f"{scratch}/library/python"}
                running[name] = subprocess.Popen(argv, stdout=out, stderr=out, env=environment, start_new_session=True)
    deadline = time.monotonic() + 3 * seconds + 60
    peak = 0
    chance = random.Random(f"{seed} {number}")
    try:
        while any(child.poll() is None for child in running.values()):
            if time.monotonic() > deadline:
                raise Failure(f"still running: {[name for name, child in running.items() if child.poll() is None]}")
            time.sleep(chance.uniform(0.5, 3.5))
            drop_caches(chance.choice((1, 2, 3)))
            peak = max(peak, mount.usage()[0])
            for name, child in running.items():
                if child.poll():
                    with open(f"{scratch}/{name}.out", encoding="utf-8", errors="replace") as out:
                        raise Failure(f"{name} (round {number}): status {child.returncode}:\n{out.read()[-3000:]}")
    finally:
        for child in running.values():
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    for name in running:
        run("rm", "-rf", f"{mount.point}/{name}", limit=300)
    return peak


def settle(mount):
    """What the daemon holds when nothing is done: the kernel is told to forget, and V8 has time to collect."""
    best = mount.usage()
    for _ in range(8):
        drop_caches(3)
        os.listdir(mount.point)
        time.sleep(0.25)
        best = min(best, mount.usage())
    return best


def check_growth(samples):
    memory, descriptors = samples[0]
    for number, (more_memory, more_descriptors) in enumerate(samples[1:], 1):
        if more_memory > memory + MEMORY_SLACK_KB:
            raise Failure(f"memory grows: {memory} kB after the first round, {more_memory} kB after round {number}")
        if more_descriptors > descriptors + DESCRIPTOR_SLACK:
            raise Failure(f"descriptors grow: {descriptors} after the first round, {more_descriptors} after round {number}")


def soak(veneer, seconds, seed, scratch, group):
    mount = Mount(veneer, scratch, build_lowers(scratch), group)
    rounds = max(2, min(6, seconds // 60))
    before, samples = settle(mount), []
    print(f"soak: before: {before[0]} kB private, {before[1]} descriptors", flush=True)
    for number in range(rounds):
        began = time.monotonic()
        peak = spend_round(mount, number, seconds // rounds, scratch, seed)
        samples.append(settle(mount))
        held = f"peak {peak} kB, then {samples[-1][0]} kB, {samples[-1][1]} descriptors"
        print(f"soak: round {number}, {time.monotonic() - began:.0f} s: {held}", flush=True)
    check_growth(samples)
    if group.kills() > 0:
        raise Failure("the kernel killed the daemon for its memory")
    shown = mount.manifest()
    mount.unmount()
    if mount.complaints():
        raise Failure("the daemon's log: " + "\n".join(mount.complaints()[:20]))
    left = os.listdir(mount.work)
    if left:
        raise Failure(f"left in the workdir: {left}")
    run("mount", "-t", "overlay", "overlay", "-o", mount.layers, mount.point)
    try:
        same = mount.manifest() == shown
    finally:
        run("umount", mount.point)
    if not same:
        raise Failure("the kernel's overlayfs shows another tree on what was left")
    print(f"soak: {rounds} rounds of {seconds // rounds} s without an error; the kernel shows the same {len(shown.splitlines())} objects")


def main():
    veneer, seconds, seed = os.path.realpath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    scratch = tempfile.mkdtemp(prefix="veneer-soak-", dir=os.environ.get("VENEER_TEST_SCRATCH", "/var/tmp"))
    group = MemoryGroup()
    try:
        soak(veneer, seconds, seed, scratch, group)
    except (Failure, subprocess.TimeoutExpired) as failure:
        log = f"{scratch}/log"
        if os.path.exists(log):
            with open(log, encoding="utf-8") as file:
                print("".join(file.readlines()[-20:]), file=sys.stderr)
        print(f"soak: FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
    finally:
        subprocess.run(["umount", "-l", f"{scratch}/mnt"], capture_output=True, check=False)
        group.remove()
        shutil.rmtree(scratch, ignore_errors=True)


main()
