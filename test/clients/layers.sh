# Sourced by engines.sh: an image of very many layers. buildah keeps each of them mounted until all are built, with a daemon for each.

run_deep() { here_podman run --rm localhost/small sh -c 'ls /kept | wc -l; ls /gone /dir; cat /log; echo new >/kept/2; rm -r /gone; ls /'; }

tree_of_deep() { tree_of "$store" localhost/small; }

# All in one option of the mount program.
as_many_lowers() {
  local lowers
  here_podman run --detach --name deep localhost/small sleep 1000 >/dev/null || return
  lowers=$(daemons | grep -o 'lowerdir=[^, ]*' | tr : '\n' | wc -l)
  here_podman rm --force --time 0 deep >/dev/null && { [ "$lowers" = "$1" ] || echo "there are $lowers"; }
}

layers() {
  both "build: 110 layers" build_small 110
  both "layers of that" saved localhost/small
  both "tree of that" tree_of_deep
  both "run" run_deep
  only_veneer "a container has 110 lowers" as_many_lowers 110
  only_veneer "no mount and no daemon of these is left" remains
}
