# Sourced by engines.sh: very many containers at once.

# each COMMAND...: with the number of each of fifty containers, all at once
each() {
  local number status=0 running=()
  for number in $(seq 50); do
    "$@" "$number" >/dev/null 2>"$state/each.$number" &
    running+=($!)
  done
  for number in "${!running[@]}"; do
    wait "${running[number]}" || { status=1 && cat "$state/each.$((number + 1))" >&2; }
  done
  rm -f "$state"/each.*
  return $status
}

start_one() { here_podman run --detach --name "many$1" localhost/small sleep 1000; }
write_in_one() { here_podman exec "many$1" sh -c "seq $1 >/written; echo $1 >>/log; rm -r /kept; mkdir /kept; mv /dir /moved"; }
commit_one() { here_podman commit --quiet --format oci "many$1" "localhost/many$1"; }
stop_one() { here_podman stop --time 1 "many$1"; }

fifty_at_once() {
  each start_one >&2 && here_podman ps --quiet | wc -l && each write_in_one && each commit_one && each stop_one && here_podman ps --quiet | wc -l &&
    written_by_all && here_podman rm --all --force >&2 && here_podman rmi $(seq -f localhost/many%g 50) >&2
}

written_by_all() {
  local number tree
  for number in $(seq 50); do
    tree=$(here_podman image mount "localhost/many$number") || return
    echo "many$number: $(paste -s -d ' ' "$tree/written"), $(tail -n 1 "$tree/log"), $(cd "$tree" && ls -d kept/* moved/* dir 2>/dev/null | paste -s -d ' ')"
  done
  here_podman image unmount --all >&2
}

# Names of all that Veneer's store keeps of images and containers, but for what is written anew each time, and for mountpoints, which the engine makes as it needs them.
stored() { (cd "$state/veneer" && find images/overlay* run \( -name '*.lock' -o -name '*.json' -o -name merged \) -prune -o -print | sort); }
new_files() { stored | diff "$state/before" -; }

fifty() {
  both "build: an image for fifty containers" build_small 3
  stored >"$state/before"
  both "fifty containers at once start, write, commit and stop" fifty_at_once
  only_veneer "no file of theirs is left" new_files
  only_veneer "no mount and no daemon of theirs is left" remains
}
