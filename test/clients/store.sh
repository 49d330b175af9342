# Sourced by the scripts beside it: a store of images and containers of its own, below $state, for podman and buildah.

# new_store NAME [MOUNT_PROGRAM]: makes the store; `podman_in NAME` and `buildah_in NAME` work in it, for five minutes at most (a build for fifteen)
new_store() {
  local name=$1 program=${2:-} limit
  mkdir -p "$state/$name"
  # Where CAP_SYS_RESOURCE is missing, runc can't raise limits to its defaults: ask for what we surely have.
  limit="nofile=$(ulimit -Sn):$(ulimit -Hn)"
  cat >"$state/$name/containers.conf" <<CONF
[containers]
default_ulimits = ["$limit", "nproc=4096:4096"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
CONF
  cat >"$state/$name/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$state/$name/images"
runroot = "$state/$name/run"
CONF
  # An engine compares two mounts where it has a mount program; over the kernel it does with this option, else it takes the upper as it is.
  if [ -z "$program" ]; then
    printf '[storage.options.overlay]\nmountopt = "redirect_dir=on"\n' >>"$state/$name/storage.conf"
  else
    cat >>"$state/$name/storage.conf" <<CONF
[storage.options.overlay]
mount_program = "$program"
CONF
  fi
}

# Nothing of the store is told by flags, as --root would make podman and buildah overlook the mount program.
# in_store NAME COMMAND...
in_store() {
  env CONTAINERS_CONF=$state/$1/containers.conf CONTAINERS_STORAGE_CONF=$state/$1/storage.conf TMPDIR=$state "${@:2}"
}

podman_in() { in_store "$1" timeout --kill-after=10 300 podman --tmpdir "$state/$1/tmp" "${@:2}"; }
skopeo_in() { in_store "$1" timeout --kill-after=10 300 skopeo --insecure-policy "${@:2}"; }
buildah_in() { in_store "$1" timeout --kill-after=10 900 buildah "${@:2}"; }

# remove_store NAME: ends its containers, unmounts what is left mounted in it, and removes it
remove_store() {
  [ -d "$state/$1" ] || return 0
  podman_in "$1" rm --all --force --time 2 >/dev/null 2>&1 || true
  awk -v below="$state/$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r mountpoint; do umount --lazy "$mountpoint" || true; done
  rm -rf --one-file-system "${state:?}/$1"
}
