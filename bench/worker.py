"""Does one job of the benchmark, given as JSON, and prints what it took as JSON. workload.ts and stand.ts say what a job is.

{"mount": COMMAND, "mountpoint": PATH}: the time from exec until the root of the mount was listed.
{"root": PATH, "prepare": [STEP...], "timed": STEP, ...}: the time of a step in the tree at PATH.
"""
import json
import os
import subprocess
import sys
import time
from collections import Counter

from calls import CALLS

IDLE_CHECK = 0.03
IDLE_PATIENCE = 5.0


def start(argv, env):
    return subprocess.Popen(
        argv,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
    )


def run_program(step):
    """`times` one after the other, in each of which `atOnce` run together."""
    for _ in range(step.get("times", 1)):
        children = [start(step["run"], step.get("env", {})) for _ in range(step.get("atOnce", 1))]
        for child in children:
            if child.wait() != 0:
                sys.exit(f"{step['run'][0]} ended with {child.returncode}")


def run_fio(step):
    """The time that fio's calls took, without what fio does between them."""
    argv = ["fio", "--name=calls", "--ioengine=psync", "--invalidate=0", "--fallocate=none", "--randrepeat=1"]
    argv += ["--norandommap", "--output-format=json", *step["fio"]]
    output = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
    job = json.loads(output[output.index("{"):])["jobs"][0]
    return sum(job[side]["lat_ns"]["mean"] * job[side]["total_ios"] for side in ("read", "write")) / 1e9


def perform(step):
    """The seconds that a step took."""
    begin = time.perf_counter()
    if "fio" in step:
        return run_fio(step)
    if "run" in step:
        run_program(step)
    else:
        seconds = CALLS[step["call"]](step["count"])
        if seconds is not None:
            return seconds
    return time.perf_counter() - begin


def cpu_seconds(pid):
    """User and system time of all threads that a process has and had."""
    return time.clock_gettime((~pid << 3) | 2)


def requests(root):
    """How many requests of each kind a mount of Veneer has served; None where it does not tell."""
    try:
        return Counter(json.loads(os.getxattr(root, "user.veneer.requests")))
    except OSError:
        return None


def settle(paths, daemon):
    """What was written goes to the disk, and the daemon finishes what it has begun."""
    for path in paths:
        subprocess.run(["sync", "-f", path], check=True)
    deadline = time.monotonic() + IDLE_PATIENCE
    used = None
    while daemon is not None and time.monotonic() < deadline:
        before, used = used, cpu_seconds(daemon)
        if before is not None and used - before < IDLE_CHECK / 30:
            break
        time.sleep(IDLE_CHECK)


def mount(command, mountpoint):
    begin = time.perf_counter()
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("the mount failed")
    os.listdir(mountpoint)
    return {"seconds": time.perf_counter() - begin}


def measure(job):
    root, daemon = job["root"], job["daemon"]
    os.chdir(root)
    for step in job["prepare"]:
        perform(step)
    if job["cold"]:
        # All of the lowers' pages are to be there, whatever happened to them meanwhile.
        run_program({"run": ["sh", "-c", 'tar -cPf - "$@" | cat', "sh", *job["lowers"]]})
    settle([root, *job["sync"]], daemon)
    if job["cold"]:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")
        settle([], daemon)
    asked, counted = requests(root), requests(root)
    used = cpu_seconds(daemon) if daemon is not None else None
    result = {"seconds": perform(job["timed"])}
    if daemon is not None:
        result["cpu"] = cpu_seconds(daemon) - used
    if counted is not None:
        # Asking is a request, too.
        result["requests"] = requests(root) - counted - (counted - asked)
    settle([], daemon)
    return result


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    print(json.dumps(mount(task["mount"], task["mountpoint"]) if "mount" in task else measure(task)))
