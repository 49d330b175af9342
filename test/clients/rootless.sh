#!/bin/bash
# podman and buildah of a plain user, with Veneer as their mount program: builds an image of many steps, works in containers of it, and
# compares all that comes of it with the same over the kernel's overlayfs, which such a user has too. Installs what it needs. The user, his
# subordinate ids, mounts and processes exist for this script alone, and go with it.
#
# usage: test/clients/rootless.sh [--short]
#
# --short builds the image as one layer, not as one a step.
# Each step prints "ok" or "FAILED", and how many justified lines differ; the last line counts them. The status is 0 only if none failed.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
. scripts/set-up.sh
. "$here/store.sh"
. "$here/steps.sh"

if [ "${1-}" != inside ]; then
  # Of few letters: podman's clean-up of ended containers takes no run directory of more than 50 bytes.
  alone user "$0" "$@"
fi
state=$2
layers=--layers
[ "${3-}" != --short ] || layers=--layers=false

# A user and his subordinate ids, a /dev/fuse that is open to all as on most systems, and cgroups of version 2, without which crun does nothing.
readonly uid=12345 first=200000 count=131072
make_user() {
  { cat /etc/passwd && echo "veneer-test:x:$uid:$uid::$state:/bin/sh"; } >"$state/passwd"
  { cat /etc/group && echo "veneer-test:x:$uid:"; } >"$state/group"
  echo "veneer-test:$first:$count" >"$state/subids"
  mknod -m 666 "$state/fuse" c 10 229
  # What may lie where he can't go, in root's home say.
  mkdir "$state/program" "$state/bin" && : >"$state/bin/node"
  mount --bind "$PWD" "$state/program" && mount --bind "$(readlink -f "$(command -v node)")" "$state/bin/node" && mount --make-rshared / && mount --bind "$state/fuse" /dev/fuse &&
    mount --bind "$state/passwd" /etc/passwd && mount --bind "$state/group" /etc/group &&
    mount --bind "$state/subids" /etc/subuid && mount --bind "$state/subids" /etc/subgid || return 1
  [ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# make_store NAME [MOUNT_PROGRAM]
make_store() {
  mkdir -p "$state/$1"/{home,run,tmp}
  cat >"$state/$1/containers.conf" <<CONF
[containers]
netns = "host"
cgroups = "disabled"
default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "crun"
CONF
  cat >"$state/$1/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$state/$1/images"
rootless_storage_path = "$state/$1/images"
runroot = "$state/$1/run/c"
CONF
  [ -z "${2-}" ] || printf '[storage.options.overlay]\nmount_program = "%s"\n' "$2" >>"$state/$1/storage.conf"
  chown -R $uid:$uid "$state/$1"
}

# As store.sh has it, but as the user.
in_store() {
  (cd "$state/$1/home" && setpriv --reuid $uid --regid $uid --clear-groups --inh-caps=-all env -i LC_ALL=C "PATH=$state/bin:$PATH" "HOME=$state/$1/home" \
    "XDG_RUNTIME_DIR=$state/$1/run" "CONTAINERS_CONF=$state/$1/containers.conf" "CONTAINERS_STORAGE_CONF=$state/$1/storage.conf" "TMPDIR=$state/$1/tmp" "${@:2}")
}

here_podman() { podman_in "$store" "$@"; }

# ran OPTION... IMAGE COMMAND...: what a container prints, by its log: where much is going on podman's attaching has been seen to lose what is short
ran() {
  local id status
  id=$(here_podman run --detach "$@") && status=$(here_podman wait "$id") && here_podman logs "$id" && here_podman rm "$id" >&2 && [ "$status" = 0 ]
}

in_container() { here_podman exec box sh -c "$1"; }

# A small Debian, with a package to install; no user makes device nodes.
make_context() {
  mkdir "$state/context" "$state/rootfs"
  tar --extract --file "$(scripts/debian-rootfs)" --directory "$state/rootfs" --exclude './dev/*' --exclude './var/cache/apt/archives/[!h]*' \
    --exclude './var/cache/apt/*.bin' --exclude './var/lib/apt/*' --exclude './usr/share/man' --exclude './usr/share/perl/5*/*' --exclude './usr/lib/*/gconv/*' --exclude './usr/lib/python3*' --exclude './usr/share/zoneinfo/right' --exclude './usr/share/zoneinfo/posix' \
    --exclude './usr/share/locale/[d-z]*' &&
    mv "$state"/rootfs/var/cache/apt/archives/hello_*.deb "$state/rootfs/opt/hello.deb" &&
    tar --create --file "$state/context/rootfs.tar" --directory "$state/rootfs" --xattrs . &&
    rm -rf "$state/rootfs" && sed 's/ && mknod [^&]*[^& ]//g' "$here/Containerfile" >"$state/context/Containerfile" && chown -R $uid:$uid "$state/context"
}

build() {
  buildah_in "$store" build --quiet $layers --ulimit "nofile=$(ulimit -Sn):$(ulimit -Hn)" --isolation oci --runtime crun --network host \
    --timestamp "$since" --signature-policy "$state/policy.json" --file "$state/context/Containerfile" --tag localhost/day "$state/context" >&2
}

# saved IMAGE: every entry of every layer
saved() {
  rm -f "$state/$store/saved.tar"
  here_podman save --quiet --format oci-archive --output "$state/$store/saved.tar" "$1" >&2 && python3 "$here/image.py" "$state/$store/saved.tar" "$since"
}

# Every entry, by the user as root of his namespace, where an image can be mounted.
mounted_image() {
  here_podman unshare sh -c 'python3 "$1" "$(podman --tmpdir "$2" image mount localhost/day)" && podman --tmpdir "$2" image unmount localhost/day >&2' sh \
    "$state/program/test/rootfs/manifest.py" "$state/$store/tmp" | python3 -c 'import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    del entry["ctime"]
    if int(entry["mtime"]) >= 1e9 * int(sys.argv[1]): del entry["mtime"]
    print(entry)' "$since"
}

# The type of a container's root.
root_type() {
  local store=$1
  ran localhost/day sh -c 'head -n 1 /proc/self/mounts' 2>"$state/why" | cut -d ' ' -f 3
}

start_box() { here_podman run --detach --name box localhost/day sleep 1000 >&2; }

changes='set -e
echo new >/srv/new; echo more >>/etc/hostname.conf; rm -rf /usr/share/zoneinfo/America /usr/share/doc; mkdir /usr/share/doc
echo first >/usr/share/doc/first; chmod 600 /etc/debian_version; ln /srv/new /srv/linked; mv /srv/zoneinfo/Asia /srv/Asia; rm /usr/share/zoneinfo/UTC
ln -sf /srv/new /etc/issue; mkfifo /srv/pipe; touch -d 2002-03-04 /srv/Asia; chown 1234:1234 /usr/bin/tac; mkdir -m 555 /srv/closed
! mknod /srv/zero c 1 5 2>/srv/why; cat /srv/why; find /srv | sort'

# Without what is only said to be changed: of the kernel's upper an engine tells what is in it. It calls a directory that was made anew "D" there.
diffed() { here_podman diff box | grep -v -E '^C|^. /usr/share/doc$' | sort; }

exported() {
  here_podman export --output "$state/$store/exported.tar" box && python3 "$here/image.py" "$state/$store/exported.tar" "$since"
}

committed() { here_podman commit --quiet --format oci box localhost/changed >&2 && saved localhost/changed; }

stopped_and_started() {
  here_podman stop --time 1 box >&2 && here_podman start box >&2 && in_container 'cat /srv/new; stat -c "%n %h %a %u" /srv/linked /etc/debian_version' &&
    here_podman kill box >&2 && here_podman wait box
}

read_only() {
  ran --read-only localhost/day sh -c 'touch /srv/x 2>/dev/null; echo $?; cat /usr/share/doc/only; ls -A /usr/share/doc'
}

overlay_volume() {
  local volume=$state/$store/volume
  in_store $store sh -c 'mkdir -p "$1" && echo kept >"$1/file"' sh "$volume" &&
    ran --volume "$volume:/mnt:O" localhost/day sh -c 'cat /mnt/file; echo gone >/mnt/file; echo x >/mnt/more; ls /mnt' &&
    cat "$volume/file" && ls "$volume"
}

# What a container with ids of its own sees, and what it may do.
look='find /etc /srv /usr/bin /usr/share/doc -printf "%p %m %U %G %n %s\n" | grep -v -E "^/etc/(hosts|hostname|resolv.conf|mtab|passwd|group)? |^/etc (.*)" | sort; getcap -r /usr/bin
echo new >/srv/new && chown 5:60 /srv/new && chmod 600 /etc/issue.net && stat -c "%n %a %u %g" /srv/new /etc/issue.net'

# mapped OPTION...: the ids in the container are those of the image, and so are those that its work leaves
mapped() {
  local from=${EPOCHREALTIME/./} status=0 store=veneer
  ran --user 0 localhost/day sh -c "$look" >"$state/plain.out" 2>"$state/plain.err" </dev/null &&
    ran --user 0 "$@" localhost/day sh -c "cat /proc/self/uid_map >&2; $look" >"$state/mapped.out" 2>"$state/mapped.err" </dev/null || status=1
  { diff "$state/plain.out" "$state/mapped.out" || status=1; cat "$state/plain.err" "$state/mapped.err"; } >"$state/why"
  [ -s "$state/plain.out" ] || status=1
  report $status "run $* ($(((${EPOCHREALTIME/./} - from) / 1000)) ms, $(wc -l <"$state/mapped.out") lines)"
}

removed() { here_podman rm --all --force --time 1 >&2 && here_podman ps --all --quiet; }

# Whatever of Veneer's is still mounted or running; nothing, a second after the last container went.
remains() {
  sleep 1
  podman_in veneer unshare grep -F " $state/veneer/" /proc/self/mountinfo | grep 'fuse\.'
  grep -l -a -F "$state/veneer/" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do { tr '\0' ' ' <"$file"; } 2>/dev/null | grep daemon-process; done
}

make_user || stop "a user of its own could not be made: it takes mounts, and the control groups of version 2"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$state/policy.json"
# Over the kernel the engine takes the upper as the layer; over a mount program it compares two mounts, by mode, owner, size, device and
# mtime. Files that it can't tell apart, and the second name that a file gets, differ.
printf '%s\n' etc/group- debian_version usr/bin/hello usr/bin/perl >"$state/justified"
make_store kernel
make_store veneer "$state/program/bin/veneer"
make_context || stop "the root file system could not be made"
since=$(date +%s)

both "build: $(grep -c -E '^(ADD|RUN)' "$here/Containerfile") steps" build
[ $failed = 0 ] || stop "without an image there is nothing else to do"
both "layers of the image" saved localhost/day
both "tree of the image" mounted_image
[ "$(root_type kernel) $(root_type veneer)" = "overlay fuse.veneer" ]
report $? "the roots of containers are the kernel's and Veneer's"
both "run" start_box
both "exec" in_container "$changes"
both "diff" diffed
both "export" exported
both "commit: layers" committed
both "stop, start, kill" stopped_and_started
both "run --read-only" read_only
both "run --volume DIR:/x:O" overlay_volume
mapped --uidmap 0:1000:65536 --gidmap 0:1000:65536
mapped --userns=keep-id
mapped --userns=auto:size=65536
both "rm" removed
remains >"$state/why"
[ ! -s "$state/why" ]
report $? "no mount and no daemon is left"

printf '%d steps passed, %d failed\n' $passed $failed
[ $failed = 0 ]
