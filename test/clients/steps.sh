# Sourced by the scripts beside it: counts their steps, and compares what one makes over the kernel's overlayfs and over Veneer.
# Expects a directory $state, and in $state/justified the words of lines that may differ.

passed=0 failed=0 differing=0
# report STATUS NAME: what is in $state/why is shown if it failed
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

# both NAME COMMAND...: the command has to succeed, and to print the same but for justified lines, with $store naming either side
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
    differing=$((differing + $(wc -l <"$state/differences")))
    times+=("$(wc -l <"$state/kernel.out") lines" "$(grep -F -f "$state/justified" "$state/differences" | wc -l) justified ones differ")
  fi
  report $status "$name ($(IFS=,; echo "${times[*]}"))"
}

# only_veneer NAME COMMAND...: what has no counterpart in the kernel; what it prints is what is wrong
only_veneer() {
  local status=0
  store=veneer
  "${@:2}" >"$state/why" 2>&1 </dev/null || status=1
  [ ! -s "$state/why" ] || status=1
  report $status "$1"
}

# manifest TREE: all that is in it, without the times of the work itself, which began at $since
manifest() {
  python3 "$here/../rootfs/manifest.py" "$1" >"$state/manifest" && python3 -c 'import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    del entry["ctime"]
    if int(entry["mtime"]) >= 1e9 * int(sys.argv[1]): del entry["mtime"]
    print(entry)' "$since" <"$state/manifest"
}

# alone NAME SCRIPT [ARGUMENT...]: installs and builds what all of the scripts need, runs `SCRIPT inside STATE ARGUMENT...`, and ends
# with its status. It has mounts and processes of its own, which go with its first one, however this ends; and so does STATE, a new directory.
alone() {
  local name=$1 script=$2 packages
  shift 2
  need_root
  need_fuse
  need_node
  mapfile -t packages <"$here/apt-packages.txt"
  need_packages "${packages[@]}"
  need_build
  # /var/tmp as for the tests: images want a real file system.
  state=$(mktemp -d "${VENEER_TEST_SCRATCH:-/var/tmp}/veneer-$name-XXXXXX")
  chmod 755 "$state"
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Mounts of others that are there now would outlive their unmounting in here, and so would their daemons.
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child --mount-proc \
    bash -c 'umount --all --lazy --types fuse.veneer,overlay 2>/dev/null; exec bash "$@"' bash "$script" inside "$state" "$@" &
  inside=$!
  trap end_inside EXIT
  wait $inside
  exit
}

end_inside() {
  local first
  trap '' HUP INT TERM
  first=$(cat "/proc/$inside/task/$inside/children" 2>/dev/null)
  # unshare(1) heeds no other signal.
  kill -KILL $inside 2>/dev/null
  # The first process is gone when all others are.
  while [ -n "$first" ] && [ -e "/proc/${first% }" ]; do sleep 0.05; done
  rm -rf --one-file-system "$state"
}
