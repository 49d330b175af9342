#!/bin/sh
# Starts the benchmark, where that is allowed in a mount namespace of its own: otherwise whatever gets a new one meanwhile
# would have copies of its mounts, and keep them, and their daemons, in being.
main=${0%/*}/dist/main.js
unshare --mount true 2>/dev/null && exec unshare --mount node "$main" "$@"
exec node "$main" "$@"
