#!/bin/sh
# Starts the benchmark, where that is allowed in a mount namespace of its own: otherwise whatever gets a new one meanwhile
# would have copies of its mounts, and keep them, and their daemons, in being. For the same reason it keeps none of others.
main=${0%/*}/dist/main.js
unshare --mount true 2>/dev/null &&
  exec unshare --mount sh -c 'umount --all --lazy --types fuse.veneer,overlay 2>/dev/null; exec node "$@"' sh "$main" "$@"
exec node "$main" "$@"
