# Sourced by engines.sh: images go out of the stores and into others, by podman, skopeo and umoci.

# Into a store of the same kind, which has nothing of the image yet.
saved_and_loaded() {
  rm -f "$state/day.tar"
  here_podman save --quiet --output "$state/day.tar" localhost/day >&2 &&
    podman_in "$store-again" load --quiet --input "$state/day.tar" >&2 && tree_of "$store-again" localhost/day
}

by_docker_archive() {
  rm -f "$state/day.tar"
  skopeo_in "$store" copy containers-storage:localhost/day "docker-archive:$state/day.tar:localhost/copied" >&2 &&
    podman_in "$store-again" rmi --all --force >&2 &&
    skopeo_in "$store-again" copy "docker-archive:$state/day.tar" containers-storage:localhost/copied >&2 &&
    tree_of "$store-again" localhost/copied
}

by_oci() {
  rm -rf "$state/oci"
  skopeo_in "$store" copy containers-storage:localhost/day "oci:$state/oci:day" >&2 &&
    podman_in "$store-again" rmi --all --force >&2 &&
    skopeo_in "$store-again" copy "oci:$state/oci:day" containers-storage:localhost/copied >&2 &&
    skopeo_in "$store-again" copy containers-storage:localhost/copied "oci-archive:$state/again.tar" >&2 &&
    python3 "$here/image.py" "$state/again.tar" "$since" && rm "$state/again.tar"
}

# The oci directory is that of the step before.
unpacked() {
  local at=$state/unpacked/$store
  mkdir -p "$at/lower" "$at/upper" "$at/work" "$at/mnt"
  mount_of_store "$at" && umoci unpack --image "$state/oci:day" "$at/mnt/bundle" >&2 && umount "$at/mnt" &&
    mount_of_store "$at" && manifest "$at/mnt/bundle/rootfs" && umount "$at/mnt"
}

# mount_of_store DIRECTORY: lower, upper and work in it, at mnt
mount_of_store() {
  local options=lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work
  if [ "$store" = kernel ]; then mount -t overlay -o "$options" overlay "$1/mnt"; else "$veneer" -o "$options" "$1/mnt"; fi
}

# To a mount program engines give layers in the form that images have: names for whiteouts.
whiteouts_are_names() {
  local layers=$state/$1/images/overlay
  [ "$(find "$layers" -name '.wh.*' ! -name '.wh..wh.*' | wc -l)" -gt 0 ] || echo "no .wh.NAME in $layers"
  [ "$(find "$layers" -name '.wh..wh..opq' | wc -l)" -gt 0 ] || echo "no .wh..wh..opq in $layers"
}

images() {
  new_store kernel-again
  new_store veneer-again "$veneer"
  both "save, load in another store: tree" saved_and_loaded
  both "skopeo copy, containers-storage to docker-archive to containers-storage: tree" by_docker_archive
  both "skopeo copy, containers-storage to oci to containers-storage: layers" by_oci
  if [ $layers = --layers ]; then
    only_veneer "layers that were built have .wh.NAME and .wh..wh..opq" whiteouts_are_names veneer
    only_veneer "layers that were copied have .wh.NAME and .wh..wh..opq" whiteouts_are_names veneer-again
  fi
  both "umoci unpack onto a mount: tree" unpacked
  remove_store kernel-again
  remove_store veneer-again
}
