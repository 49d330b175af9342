#!/bin/bash
# containerd as root, with Veneer as what its snapshots are mounted by: by the mount type fuse3.veneer, which a small snapshotter
# (test/clients/snapshotter) answers with. Imports an image, works in containers of it, commits, and compares all that comes of it
# with the same by containerd's own overlayfs snapshotter. Installs what it needs. Its containerd has mounts, processes and a /run
# of its own, which go with it: no service of the machine is touched, and nothing is left.
#
# usage: test/clients/containerd.sh [--short]
#
# --short leaves out many containers at once and what is killed.
# Each step prints "ok" or "FAILED"; the last line counts them. The status is 0 only if none failed.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
. scripts/set-up.sh
. "$here/steps.sh"

if [ "${1-}" != inside ]; then
  alone containerd "$0" "$@"
fi
state=$2
short=${3-}

mount -t tmpfs -o mode=755 none /run
mkdir "$state/sbin" "$state/tree" "$state/layer" "$state/containerd"
# mount.fuse3, as containerd calls it, looks for `veneer`; mount(8) looks in /sbin for a helper named after the type.
ln -s "$PWD/bin/veneer" "$state/sbin/veneer"
ln -s "$PWD/bin/veneer" "$state/sbin/mount.fuse3.veneer"
mount -t overlay -o "lowerdir=$state/sbin:$(readlink -f /sbin)" none "$(readlink -f /sbin)"

# in_store STORE COMMAND...: ctr in it works in a containerd namespace of that name, where containers and images have their names
in_store() {
  local snapshotter=overlayfs
  [ "$1" = kernel ] || snapshotter=veneer
  CONTAINERD_NAMESPACE=veneer-test-$1 CONTAINERD_SNAPSHOTTER=$snapshotter timeout --kill-after=10 120 "${@:2}"
}
here_ctr() { in_store "$store" ctr "$@"; }
run_box() { here_ctr run --runc-root /run/runc "$@"; }
in_container() { here_ctr task exec --exec-id "exec-$RANDOM" "${2-box}" sh -c "$1"; }

start_snapshotter() {
  npx rolldown test/clients/snapshotter/main.ts --platform node --format cjs --file "$state/snapshotter.cjs" >"$state/why" 2>&1 || return
  mkfifo "$state/ready"
  node "$state/snapshotter.cjs" test/clients/snapshotter/snapshots.proto /run/snapshotter.sock "$state/snapshots" fuse3.veneer \
    >"$state/ready" 2>>"$state/why" &
  timeout 20 grep -q ready "$state/ready"
}

start_containerd() {
  cat >"$state/config.toml" <<CONF
version = 2
root = "$state/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[proxy_plugins.veneer]
type = "snapshot"
address = "/run/snapshotter.sock"
CONF
  containerd --config "$state/config.toml" >>"$state/containerd.log" 2>&1 &
  containerd=$!
  for _ in {1..100}; do
    ! timeout 10 ctr version >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  tail -n 20 "$state/containerd.log" >"$state/why"
  return 1
}

# Two layers: a small Debian, and what a layer can do to one below it.
make_image() {
  tar --extract --file "$(scripts/debian-rootfs)" --directory "$state/tree" --exclude './var/cache/apt/archives/*' --exclude './var/lib/apt/*' \
    --exclude './usr/lib/*/gconv/*' --exclude './usr/lib/python3*' --exclude './usr/share/locale/[b-z]*' --exclude './usr/share/zoneinfo/[a-z]*' \
    --exclude './usr/share/perl/*' --exclude './usr/share/man/*' &&
    tar --create --file "$state/base.tar" --directory "$state/tree" --xattrs . && rm -rf "$state/tree" && mkdir "$state/tree" && (
    cd "$state/layer" && mkdir -p etc/issue.net srv/deep/er usr/share/doc/made usr/bin usr/share/zoneinfo &&
      touch etc/.wh.issue usr/share/.wh.perl5 usr/share/doc/.wh..wh..opq usr/share/zoneinfo/Europe srv/deep/er/file &&
      echo only >usr/share/doc/only && echo changed >etc/debian_version && ln -s nowhere usr/share/zoneinfo/UTC &&
      cp /bin/true usr/bin/capable && setcap cap_net_raw+ep usr/bin/capable && cp /bin/true usr/bin/setuid && chmod 4711 usr/bin/setuid &&
      ln srv/deep/er/file srv/linked && mkfifo srv/fifo && mknod srv/null c 1 3 && chown -R 1234:1234 srv/deep && chmod 2775 srv/deep &&
      truncate --size=8M srv/sparse && printf x >"srv/a$(printf '\nb')" && setfattr -n user.colour -v blue srv/linked && touch -d 2001-02-03 srv usr/share
  ) && tar --create --file "$state/layer.tar" --directory "$state/layer" --xattrs --xattrs-include='*' . &&
    python3 "$here/oci.py" "$state/image.tar" localhost/day:1 "$state/base.tar" "$state/layer.tar" >"$state/image.chain"
}

imported() { here_ctr images import "$1" >&2 && here_ctr images ls --quiet; }

# mounted SNAPSHOT [TYPE]: the tree, mounted as ctr says it is to be, or as this type
mounted() {
  local line
  line=$(here_ctr snapshots mounts "$state/tree" "$1") && sh -c "${line/ -t fuse3.veneer / -t ${2-fuse3.veneer} }" && manifest "$state/tree" &&
    umount "$state/tree"
}

# seen SNAPSHOT: the tree of one that is committed
seen() {
  here_ctr snapshots prepare seen "$1" >&2 && mounted seen && here_ctr snapshots rm seen
}

# The type of a container's root.
root_type() {
  in_store "$1" ctr task exec --exec-id "exec-$RANDOM" box head -n 1 /proc/self/mounts 2>"$state/why" | cut -d ' ' -f 3
}

changes='set -e
echo new >/srv/new; echo more >>/etc/hostname.conf; rm -rf /usr/share/zoneinfo/America /usr/share/doc; mkdir /usr/share/doc
echo first >/usr/share/doc/first; chmod 600 /etc/debian_version; ln /srv/new /srv/again; mv /usr/share/zoneinfo/Asia /srv/Asia
ln -sf /srv/new /etc/os-release; mkfifo /srv/pipe; mknod /srv/zero c 1 5; touch -d 2002-03-04 /srv/Asia; chown 1234:1234 /usr/bin/tac
rm -rf /etc/issue.net; echo file >/etc/issue.net; echo appended >>/srv/linked; useradd --create-home --uid 4321 guest; rm -f /var/log/lastlog /var/log/faillog
dpkg --purge --force-all libcap2-bin >/dev/null 2>&1; rm -f /var/log/dpkg.log /var/cache/ldconfig/aux-cache; find /srv | sort'

paused() { here_ctr task pause box && here_ctr task ls | awk '$1 == "box" { print $3 }' && here_ctr task resume box && in_container 'cat /srv/new'; }

# The changes of the container as a layer, and upon the image as another one.
diffed() {
  here_ctr snapshots diff box >"$state/$store.diff.tar" &&
    python3 "$here/oci.py" "$state/$store.changed.tar" localhost/changed:1 "$state/base.tar" "$state/layer.tar" "$state/$store.diff.tar" >"$state/$store.chain" &&
    python3 "$here/image.py" "$state/$store.changed.tar" "$since" | grep -F '"layer": 2'
}

committed() {
  imported "$state/$store.changed.tar" && seen "$(cat "$state/$store.chain")" &&
    run_box --rm localhost/changed:1 other sh -c 'cat /srv/new /srv/again; stat -c "%n %h %a %u" /srv/again /etc/debian_version; ls -A /usr/share/doc'
}

# containerd is started again under a container that runs.
survived() {
  [ "$store" = veneer ] || {
    kill -KILL $containerd
    wait $containerd
    start_containerd || return
  } 2>/dev/null
  in_container 'echo kept >>/srv/new; cat /srv/new' && here_ctr task ls | awk '$1 == "box" { print $3 }'
}

ended() { here_ctr task delete --force "${1-box}"; echo $?; }
# The shim of containerd 1.6 may reap its mount helper before it has asked how that ended, and gives up after ten such tries (ECHILD).
started_again() {
  for _ in 1 2 3; do
    here_ctr task start --detach --null-io "${1-box}" 2>"$state/said" && return
    grep -q ECHILD "$state/said" || break
  done
  cat "$state/said" >&2
  return 1
}
restarted() { started_again && in_container 'cat /srv/new; ls -A /srv' && ended; }

# The upper that Veneer wrote, as the kernel's overlayfs and as Veneer read it.
upper_read_by() {
  local reader=$store store=veneer
  if [ "$reader" = kernel ]; then mounted box overlay; else mounted box; fi
}

snapshot_committed() { here_ctr snapshots commit kept box && seen kept; }

read_only() {
  run_box --rm --read-only localhost/day:1 reader sh -c 'touch /srv/x; echo $?; cat /usr/share/doc/only; ls -A /usr/share/doc' 2>/dev/null
}

# Many containers of one image at once, each with an upper of its own.
at_once() {
  local number jobs=()
  for number in {1..8}; do
    run_box --rm --null-io localhost/day:1 "box-$number" sh -ec "[ ! -e /srv/mine ]; rm -rf /usr/share/zoneinfo; echo $number >/srv/mine; sync; [ \$(cat /srv/mine) = $number ]" &
    jobs+=($!)
  done
  for number in "${jobs[@]}"; do wait "$number" && echo done; done
}

# What containerd makes of a container whose shim is gone: it is ended, and unmounted.
shim_killed() {
  local init
  run_box --detach --null-io localhost/day:1 orphan sleep 1000 && in_container 'echo kept >/srv/kept' orphan || return
  init=$(here_ctr task ls | awk '$1 == "orphan" { print $2 }')
  kill -KILL "$(cut -d ' ' -f 4 "/proc/$init/stat")"
  for _ in {1..100}; do
    grep -q -F /orphan/rootfs /proc/self/mountinfo || break
    sleep 0.1
  done
  grep -c -F /orphan/rootfs /proc/self/mountinfo
  ended orphan && started_again orphan && in_container 'cat /srv/kept' orphan && ended orphan && here_ctr container rm orphan
}

# A container whose file system is gone ends like any other, and has what it wrote when it is started again.
daemon_killed() {
  local store=veneer file
  run_box --detach --null-io localhost/day:1 lasting sleep 1000 && in_container 'echo kept >/srv/kept' lasting || return
  for file in $(grep -l -a -F /lasting/rootfs /proc/[0-9]*/cmdline); do
    ! grep -q -a daemon-process "$file" || kill -KILL "${file//[!0-9]/}"
  done
  ! in_container 'cat /srv/kept' lasting && ended lasting && started_again lasting && in_container 'cat /srv/kept' lasting | grep kept && ended lasting &&
    here_ctr container rm lasting
}

removed() {
  here_ctr container rm box && here_ctr snapshots rm kept && here_ctr images rm --sync localhost/day:1 localhost/changed:1 && here_ctr container ls --quiet
  # What nothing refers to any more is collected in containerd's own time.
  for _ in {1..100}; do
    here_ctr snapshots ls | tail -n +2 >"$state/left"
    [ -s "$state/left" ] || break
    sleep 0.1
  done
  cat "$state/left"
}

# Whatever of ours is still mounted, running or there.
remains() {
  grep -F " $state/" /proc/self/mountinfo
  grep -F ' /run/' /proc/self/mountinfo
  grep -l -a -E 'daemon-process|^/usr/bin/containerd-shim' /proc/[0-9]*/cmdline 2>/dev/null | grep -v /self/ | while read -r file; do { tr '\0' ' ' <"$file"; } 2>/dev/null; done
  ls "$state/snapshots"
}

: >"$state/justified"
make_image >"$state/why" 2>&1 || report 1 "an image of two layers"
since=$(date +%s)
start_snapshotter && start_containerd
report $? "containerd and the snapshotter start"
[ $failed = 0 ] || stop "without them there is nothing else to do"
both "import: unpack two layers" imported "$state/image.tar"
both "tree of the image" seen "$(cat "$state/image.chain")"
both "run" run_box --detach localhost/day:1 box sleep 1000
[ "$(root_type kernel) $(root_type veneer)" = "overlay fuse.veneer" ]
report $? "the roots of containers are the kernel's and Veneer's"
both "exec" in_container "$changes"
both "pause, resume" paused
both "diff: a layer" diffed
both "commit as an image, run it" committed
both "containerd killed and started again" survived
both "kill" ended
both "start again" restarted
both "the kernel reads what Veneer wrote" upper_read_by
both "commit as a snapshot, prepare another on it" snapshot_committed
both "run --read-only" read_only
if [ "$short" != --short ]; then
  both "eight containers at once" at_once
  both "a shim is killed" shim_killed
  daemon_killed >"$state/why" 2>&1
  report $? "a daemon is killed"
fi
both "rm" removed
for _ in {1..100}; do
  remains >"$state/why"
  [ -s "$state/why" ] || break
  sleep 0.1
done
[ ! -s "$state/why" ]
report $? "no mount, no daemon and no snapshot is left"

printf '%d steps passed, %d failed\n' $passed $failed
[ $failed = 0 ]
