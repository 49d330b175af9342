#!/bin/bash
# podman, buildah, skopeo and umoci as root, with Veneer as their mount program: builds an image of many steps, works in containers of it,
# and compares all that comes of it with the same over the kernel's overlayfs. Installs what it needs. Leaves nothing: its stores are its own.
#
# usage: test/clients/engines.sh [--short] [PART...]
#
# PART: day (the image's tree and layers, and a container's life), images (copied and unpacked by others), mapped (containers with ids of
# their own), layers (an image of 110), fifty (containers at once). Without any: all, with --short the first.
# --short builds the image as one layer, not as one a step.
# Each step prints "ok" or "FAILED"; the last line counts them. The status is 0 only if none failed.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
. scripts/set-up.sh
for part in store steps small images mapped layers fifty; do . "$here/$part.sh"; done

if [ "${1-}" != inside ]; then
  # podman's clean-up of ended containers takes no run directory of more than 50 bytes.
  scratch=${VENEER_TEST_SCRATCH:-/var/tmp}
  [ ${#scratch} -le 15 ] || stop "$scratch is too long a path for podman: choose a shorter VENEER_TEST_SCRATCH"
  alone day "$0" "$@"
fi
state=$2
shift 2
veneer=$PWD/bin/veneer
layers=--layers parts=(day images mapped layers fifty)
[ "${1-}" != --short ] || { layers=--layers=false parts=(day) && shift; }
[ $# = 0 ] || parts=("$@")

here_podman() { podman_in "$store" "$@"; }

# tree_of STORE IMAGE
tree_of() {
  local tree
  tree=$(podman_in "$1" image mount "$2") && manifest "$tree" && podman_in "$1" image unmount "$2" >&2
}

# saved IMAGE: every entry of every layer
saved() {
  rm -f "$state/saved.tar"
  here_podman save --quiet --format oci-archive --output "$state/saved.tar" "$1" >&2 && python3 "$here/image.py" "$state/saved.tar" "$since"
}

# A line of process id and command line for each daemon.
daemons() {
  local file
  for file in $(grep -l -a -F "$state/" /proc/[0-9]*/cmdline 2>/dev/null); do
    { tr '\0' ' ' <"$file" | sed -n "s|.*daemon-process|$(basename "${file%/cmdline}") &|p"; } 2>/dev/null
  done
}

# Whatever of Veneer's is still mounted or running; nothing, a second after the last container went.
remains() {
  sleep 1
  grep -F " $state/" /proc/self/mountinfo | grep 'fuse\.'
  daemons || true
}

in_container() { here_podman exec box sh -c "$1"; }

# A small Debian, with a package to install.
make_rootfs() {
  mkdir "$state/context" "$state/rootfs"
  tar --extract --file "$(scripts/debian-rootfs)" --directory "$state/rootfs" --exclude './var/cache/apt/archives/[!h]*' \
    --exclude './var/lib/apt/*' --exclude './usr/lib/*/gconv/*' --exclude './usr/lib/python3*' --exclude './usr/share/zoneinfo/right' --exclude './usr/share/zoneinfo/posix' \
    --exclude './usr/share/locale/[d-z]*' &&
    mv "$state"/rootfs/var/cache/apt/archives/hello_*.deb "$state/rootfs/opt/hello.deb" &&
    tar --create --file "$state/context/rootfs.tar" --directory "$state/rootfs" --xattrs . &&
    rm -rf "$state/rootfs"
}

# build_in CONTEXT CONTAINERFILE TAG
build_in() {
  buildah_in "$store" build --quiet $layers --cap-add MKNOD --ulimit "nofile=$(ulimit -Sn):$(ulimit -Hn)" --isolation oci --runtime runc --network host \
    --timestamp "$since" --signature-policy "$state/policy.json" --file "$2" --tag "localhost/$3" "$1" >&2
}

build() { build_in "$state/context" "$here/Containerfile" day; }

# The type of a container's root.
root_type() {
  podman_in "$1" run --rm localhost/day sh -c 'head -n 1 /proc/self/mounts' 2>"$state/why" | cut -d ' ' -f 3
}

start_box() {
  here_podman run --detach --name box --cap-add MKNOD localhost/day sleep 1000 >&2
}

changes='set -e
echo new >/srv/new; echo more >>/etc/hostname.conf; rm -rf /usr/share/zoneinfo/America /usr/share/doc; mkdir /usr/share/doc
echo first >/usr/share/doc/first; chmod 600 /etc/debian_version; ln /srv/new /srv/linked; mv /srv/zoneinfo/Asia /srv/Asia; rm /usr/share/zoneinfo/UTC
ln -sf /srv/new /etc/issue; mkfifo /srv/pipe; mknod /srv/zero c 1 5; touch -d 2002-03-04 /srv/Asia; chown 1234:1234 /usr/bin/tac; find /srv | sort'

# Without what is only said to be changed: of the kernel's upper an engine tells what is in it. It calls a directory that was made anew "D" there.
diffed() { here_podman diff box | grep -v -E '^C|^. /usr/share/doc$' | sort; }

tree_of_day() { tree_of "$store" localhost/day; }

exported() {
  here_podman export --output "$state/exported.tar" box && python3 "$here/image.py" "$state/exported.tar" "$since"
}

committed() {
  here_podman commit --quiet --format oci box localhost/changed >&2 && saved localhost/changed
}

copied() {
  here_podman cp "$here/Containerfile" box:/srv/given && here_podman cp box:/srv/given "$state/back" &&
    here_podman cp box:/srv/zoneinfo/Africa "$state/africa.$store" && cat "$state/back" && find "$state/africa.$store" -printf '%P %s %m\n' | sort
}

stopped_and_started() {
  here_podman stop --time 1 box >&2 && here_podman start box >&2 && in_container 'cat /srv/new; stat -c "%n %h %a %u" /srv/linked /etc/debian_version' &&
    here_podman kill box >&2 && here_podman wait box
}

read_only() {
  here_podman run --rm --read-only localhost/day sh -c 'touch /srv/x; echo $?; cat /usr/share/doc/only; ls -A /usr/share/doc' 2>/dev/null
}

overlay_volume() {
  mkdir -p "$state/volume" && echo kept >"$state/volume/file" &&
    here_podman run --rm --volume "$state/volume:/mnt:O" localhost/day sh -c 'cat /mnt/file; echo gone >/mnt/file; echo x >/mnt/more; ls /mnt' &&
    cat "$state/volume/file" && ls "$state/volume"
}

mounted_container() {
  local tree
  tree=$(here_podman mount box) && cat "$tree/srv/new" && echo outside >"$tree/srv/outside" && here_podman unmount box >&2 &&
    here_podman start box >&2 && in_container 'cat /srv/outside'
}

# The process of a container that a kill of the machine's memory or administrator ends: conmon has the engine clean up.
killed_container() {
  here_podman run --detach --name victim localhost/day sleep 1000 >/dev/null || return
  kill -KILL "$(here_podman inspect --format '{{.State.Pid}}' victim)"
  local tries
  for tries in $(seq 100); do
    grep -q -F "$state/veneer/images/overlay" /proc/self/mountinfo || break
    sleep 0.1
  done
  remains
}

removed() { here_podman rm --all --force --time 1 >&2 && here_podman ps --all --quiet; }

day() {
  both "layers of the image" saved localhost/day
  both "tree of the image" tree_of_day
  [ "$(root_type kernel) $(root_type veneer)" = "overlay fuse.veneer" ]
  report $? "the roots of containers are the kernel's and Veneer's"
  both "run" start_box
  both "exec" in_container "$changes"
  both "diff" diffed
  both "export" exported
  both "commit: layers" committed
  both "cp" copied
  both "stop, start, kill" stopped_and_started
  both "mount" mounted_container
  both "run --read-only" read_only
  both "run --volume DIR:/x:O" overlay_volume
  both "rm" removed
  only_veneer "no mount and no daemon is left" remains
  only_veneer "nor after the container's process was killed" killed_container
  both "rm of that" removed
}

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$state/policy.json"
: >"$state/justified"
new_store kernel
new_store veneer "$veneer"
case " ${parts[*]} " in
  *" day "* | *" images "* | *" mapped "*)
    make_rootfs || stop "the root file system could not be made"
    since=$(date +%s)
    both "build: $(grep -c -E '^(ADD|RUN)' "$here/Containerfile") steps" build
    [ $failed = 0 ] || stop "without an image there is nothing else to do"
    ;;
  *) since=$(date +%s) ;;
esac
for part in "${parts[@]}"; do $part; done

printf '%d steps passed, %d failed; %d lines differ\n' $passed $failed $differing
[ $failed = 0 ]
