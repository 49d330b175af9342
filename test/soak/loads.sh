#!/bin/bash
# One load of the soak, for about so many seconds, in a directory of the mount. Fails, with what went wrong, if anything is not
# as it should be.
#
# usage: loads.sh NAME SECONDS DIRECTORY ROUND SEED
#
# SOAK_PYTHON is what the lower's directory python is a copy of.
set -euo pipefail
export LC_ALL=C GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=/nonexistent
export GIT_AUTHOR_NAME=soak GIT_AUTHOR_EMAIL=soak@localhost GIT_COMMITTER_NAME=soak GIT_COMMITTER_EMAIL=soak@localhost
name=$1 seconds=$2 area=$3 round=$4 seed=$5
here=$(dirname "$(readlink -f "$0")")
deadline=$((SECONDS + seconds))
# From here on $RANDOM is the same in every run of this seed.
RANDOM=$((seed + round))
mkdir -p "$area"
cd "$area"

# Those of stressors.txt, one after the other, in the order of the seed; each round begins elsewhere, so that short ones together see all.
stress_ng() {
  local all count share i stressor options
  mapfile -t all < <(sed 's/#.*//; /^\s*$/d' "$here/stressors.txt" | sort --random-sort --random-source=<(yes "$seed"))
  count=${#all[@]}
  share=$(((seconds + count - 1) / count))
  for ((i = 0; i < count && SECONDS < deadline; i++)); do
    read -r stressor options <<<"${all[(i + round * seconds / share) % count]}"
    # shellcheck disable=SC2086
    stress-ng "--$stressor" 1 $options --seed "$RANDOM" --verify --timeout "${share}s" --temp-path . --oomable
    left=$(ls -A)
    [ -z "$left" ] || { echo "stress-ng --$stressor left $left"; return 1; }
  done
}

# Not randrw of several sizes: with some seeds fio 3.33 verifies that wrongly, on any file system.
fio_verify() {
  local job
  while [ $SECONDS -lt $deadline ]; do
    for job in "seq --rw=write --bs=64k" "rand --rw=randwrite --bs=4k" "mmap --ioengine=mmap --rw=randwrite --bs=4k" \
      "direct --direct=1 --rw=randwrite --bs=4k" "sizes --rw=randwrite --bs=4k-32k" "mixed --rw=randrw --bs=16k"; do
      # shellcheck disable=SC2086
      fio --name=${job%% *} ${job#* } --randseed=$RANDOM --size=4m --numjobs=2 --verify=crc32c --do_verify=1 --verify_fatal=1 \
        --verify_state_save=0 --group_reporting
    done
    rm -f ./*
  done
}

dbench8() { dbench -D . -t "$seconds" 8; }

# A clone, branches, commits of changed and renamed files, gc, and the repository is whole; the origin is on the lower.
git_work() {
  local turn=0
  while [ $SECONDS -lt $deadline ]; do
    turn=$((turn + 1))
    rm -rf clone
    git clone -q --no-hardlinks ../repository clone
    (
      cd clone
      git checkout -q -b "work$turn"
      for file in $(git ls-files | head -40); do echo "$turn" >>"$file"; done
      git mv d1 moved
      git rm -q -r d2
      git commit -q -a -m "turn $turn"
      git checkout -q HEAD~2
      git checkout -q "work$turn"
      git gc -q
      git fsck --full --no-progress
      [ -z "$(git status --porcelain)" ] || { git status --short; exit 1; }
    )
  done
}

# A package comes, is verified, is replaced by its next version, and goes.
dpkg_work() {
  local options=(--root="$area/root" --force-not-root --force-unsafe-io --log=/dev/null)
  mkdir -p root/var/lib/dpkg/info root/var/lib/dpkg/updates root/var/lib/dpkg/triggers
  : >root/var/lib/dpkg/status
  while [ $SECONDS -lt $deadline ]; do
    dpkg "${options[@]}" --install ../packages/soak_1.deb
    [ -z "$(dpkg "${options[@]}" --verify soak)" ] || { dpkg "${options[@]}" --verify soak; return 1; }
    dpkg "${options[@]}" --install ../packages/soak_2.deb
    [ -z "$(dpkg "${options[@]}" --verify soak)" ] || { dpkg "${options[@]}" --verify soak; return 1; }
    dpkg "${options[@]}" --purge soak
    [ ! -e root/usr ] || { find root/usr; return 1; }
  done
}

# The lower's own files are walked, compared, copied up, removed and made again.
lower_work() {
  local part
  while [ $SECONDS -lt $deadline ]; do
    for part in asyncio email json; do
      diff -r "../python/$part" "$SOAK_PYTHON/$part"
      chmod -R u+w,o-x "../python/$part"
      find "../python/$part" -name '*.py' -exec touch -r /etc/passwd {} +
      diff -r "../python/$part" "$SOAK_PYTHON/$part"
      cp -a "../python/$part" copy
      rm -r "../python/$part"
      mv copy "../python/$part"
      find ../python >/dev/null
    done
  done
}

$name
