#!/bin/bash
# podman and buildah as root, with Veneer as their mount program: builds an image of many steps, works in containers of it, and compares
# all that comes of it with the same over the kernel's overlayfs. Installs what it needs. Leaves nothing: its stores are its own.
#
# usage: test/clients/engines.sh [--short]
#
# --short builds the image as one layer, not as one a step.
# Each step prints "ok" or "FAILED"; the last line counts them. The status is 0 only if none failed.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
. scripts/set-up.sh
. "$here/store.sh"
layers=--layers
[ "${1-}" != --short ] || layers=--layers=false

need_root
need_fuse
need_node
mapfile -t packages <"$here/apt-packages.txt"
need_packages "${packages[@]}"
need_build

# /var/tmp as for the tests: images want a real file system.
state=$(mktemp -d "${VENEER_TEST_SCRATCH:-/var/tmp}/veneer-engines-XXXXXX")
clean_up() {
  remove_store kernel
  remove_store veneer
  rm -rf --one-file-system "$state"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0 failed=0
report() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $2"
  else
    failed=$((failed + 1))
    echo "FAILED  $2"
    head -n 30 "$state/why"
  fi
}

# both NAME COMMAND...: the command has to succeed, and to print the same but for justified lines, with $store naming either store
both() {
  local name=$1 status=0 from times=()
  shift
  for store in kernel veneer; do
    from=${EPOCHREALTIME/./}
    "$@" >"$state/$store.out" 2>"$state/$store.err" </dev/null || {
      status=1
      tail -n 20 "$state/$store.err" | sed "s/^/$store: /" >"$state/why"
      break
    }
    times+=("$store $(((${EPOCHREALTIME/./} - from) / 1000)) ms")
  done
  if [ $status = 0 ]; then
    diff "$state/kernel.out" "$state/veneer.out" | grep '^[<>]' >"$state/differences"
    grep -v -F -f "$state/justified" "$state/differences" >"$state/why"
    [ ! -s "$state/why" ] || status=1
    times+=("$(grep -c -F -f "$state/justified" "$state/differences") justified lines differ")
  fi
  report $status "$name ($(IFS=,; echo "${times[*]}"))"
}

here_podman() { podman_in "$store" "$@"; }
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

build() {
  buildah_in "$store" build --quiet $layers --cap-add MKNOD --ulimit "nofile=$(ulimit -Sn):$(ulimit -Hn)" --isolation oci --runtime runc --network host \
    --timestamp "$since" --signature-policy "$state/policy.json" --file "$here/Containerfile" --tag localhost/day "$state/context" >&2
}

# saved IMAGE: every entry of every layer
saved() {
  rm -f "$state/saved.tar"
  here_podman save --quiet --format oci-archive --output "$state/saved.tar" "$1" >&2 && python3 "$here/image.py" "$state/saved.tar" "$since"
}

mounted_image() {
  local tree
  tree=$(here_podman image mount localhost/day) && python3 "$here/../rootfs/manifest.py" "$tree" |
    python3 -c 'import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    del entry["ctime"]
    if int(entry["mtime"]) >= 1e9 * int(sys.argv[1]): del entry["mtime"]
    print(entry)' "$since"
  here_podman image unmount localhost/day >&2
}

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


removed() { here_podman rm --all --force --time 1 >&2 && here_podman ps --all --quiet; }

# Whatever of ours is still mounted or running; nothing, a second after the last container went.
remains() {
  sleep 1
  grep -F " $state/veneer/" /proc/self/mountinfo | grep 'fuse\.'
  grep -l -a -F "$state/veneer/" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do { tr '\0' ' ' <"$file"; } 2>/dev/null | grep daemon-process; done
}

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$state/policy.json"
# The reasons are in justified.txt, behind the words.
sed -n 's/ *#.*//; /./p' "$here/justified.txt" >"$state/justified"
new_store kernel
new_store veneer "$PWD/bin/veneer"
make_rootfs || stop "the root file system could not be made"
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
both "cp" copied
both "stop, start, kill" stopped_and_started
both "mount" mounted_container
both "run --read-only" read_only
both "run --volume DIR:/x:O" overlay_volume
both "rm" removed
remains >"$state/why"
[ ! -s "$state/why" ]
report $? "no mount and no daemon is left"

printf '%d steps passed, %d failed\n' $passed $failed
[ $failed = 0 ]
