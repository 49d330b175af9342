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

# An image that was made elsewhere: its second layer removes a name, and has a directory anew.
marked() {
  local at=$state/marked
  if [ ! -e "$at.tar" ]; then
    mkdir -p "$at.1"/{kept,hidden/deep} "$at.2"/{kept,hidden} &&
      touch "$at.1"/{kept/{gone,stays},hidden/{gone,deep/below}} "$at.2"/{kept/.wh.gone,hidden/{.wh..wh..opq,above}} &&
      tar --create --sort=name --file "$at.1.tar" --directory "$at.1" . && tar --create --sort=name --file "$at.2.tar" --directory "$at.2" . &&
      python3 "$here/oci.py" "$at.tar" marked "$at.1.tar" "$at.2.tar" >&2 || return
  fi
  skopeo_in "$store" copy "oci-archive:$at.tar" containers-storage:localhost/marked >&2 && tree_of "$store" localhost/marked
}

# To a mount program engines give layers in the form that images have.
marks_are_names() {
  local name
  for name in kept/.wh.gone hidden/.wh..wh..opq; do
    [ -n "$(find "$state/veneer/images/overlay" -path "*/diff/$name")" ] || echo "no $name in the store"
  done
}

marks() {
  both "an image whose layers have .wh.NAME and .wh..wh..opq: tree" marked
  only_veneer "these are in the layers that Veneer mounts" marks_are_names
}

images() {
  new_store kernel-again
  new_store veneer-again "$veneer"
  both "save, load in another store: tree" saved_and_loaded
  both "skopeo copy, containers-storage to docker-archive to containers-storage: tree" by_docker_archive
  both "skopeo copy, containers-storage to oci to containers-storage: layers" by_oci
  marks
  both "umoci unpack onto a mount: tree" unpacked
  remove_store kernel-again
  remove_store veneer-again
}
