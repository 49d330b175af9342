# Sourced by the scripts beside it: makes ready what they need, quietly, and quickly where it is there already.
# Each function ends the script with one sentence if it can't. Expects to be at the repository's root.

# stop SENTENCE
stop() {
  echo "${0##*/}: $1" >&2
  exit 1
}

# quietly WHAT COMMAND...: its output shows only if it fails
quietly() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    stop "$what failed, see above"
  fi
  rm -f "$log"
}

need_root() {
  [ "$(id -u)" = 0 ] || stop "mounting needs root: run this as root, for example with sudo"
}

need_fuse() {
  [ -c /dev/fuse ] || modprobe fuse 2>/dev/null || true
  [ -c /dev/fuse ] || stop "there is no /dev/fuse: load the kernel's module fuse, or give the container --device /dev/fuse"
}

need_node() {
  command -v node >/dev/null && command -v npm >/dev/null || stop "Node.js is missing: install Node 20 with its npm"
  node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
    stop "Node.js $(node --version) is too old: install Node 20.19 or later"
}

# need_packages PACKAGE...: Debian packages, installed where they are missing
need_packages() {
  local package missing=()
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    stop "this is not a Debian system (no apt-get): install by hand what $* stand for"
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    quietly "apt-get update" apt-get update -q
    quietly "apt-get install" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${missing[@]}"
  fi
}

# What npm installs, as package-lock.json has it.
need_modules() {
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "installing what package-lock.json names"
    quietly "npm ci" npm ci --no-audit --no-fund
    touch node_modules/.package-lock.json
  fi
}

# dist/, from the sources as they are.
need_build() {
  need_modules
  if [ ! -e dist/.built ] || [ -n "$(find src rolldown.config.ts package-lock.json -newer dist/.built -print -quit)" ]; then
    echo "building"
    quietly "the build" npm run build
    touch dist/.built
  fi
}

# new_seed: for a run that was not told one; the run prints it
new_seed() { echo $((RANDOM * 32768 + RANDOM)); }

# print_versions [MORE...]: beside the seed, what a run has to be repeated with
print_versions() {
  local commit all
  commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
  printf -v all ', %s' "Linux $(uname -r)" "Node $(node --version)" "$@" "commit $commit"
  echo "${all#, }"
}

# package_versions PACKAGE...: of Debian packages that are installed
package_versions() {
  dpkg-query -W -f '${Package} ${Version}\n' "$@" | paste -s -d , | sed 's/,/, /g'
}
