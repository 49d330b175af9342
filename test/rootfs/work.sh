# What a person does with a root file system; bash reads this inside a chroot in the merged tree.
#
#   chroot TREE /bin/bash -c "$(cat work.sh)" work STAGE
#
# STAGE is one of install, use, remove, repair. Every stage may be run again after it was cut off. It says
# "== step" before each step, and ends with status 0 only if everything held.
# What would differ between two runs (dates, random orders, numbers of threads) is pinned where it can be.
set -euo pipefail
export LC_ALL=C HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
export SOURCE_DATE_EPOCH=1700000000 PYTHONHASHSEED=0 PERL_HASH_SEED=0
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
umask 022
cd /

step() { echo "== $*"; }
fail() {
  echo "work.sh: $*" >&2
  exit 1
}
expect() { # expect WANTED GOT WHAT
  [ "$1" = "$2" ] || fail "$3: wanted '$1', got '$2'"
}
as_tester() { runuser -u tester -- env HOME=/home/tester "$@"; }
apt() { apt-get -qq --no-download -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root "$@"; }

stage_install() {
  local packages
  step "apt-get install"
  read -ra packages </opt/test-packages/install
  apt install --no-install-recommends "${packages[@]}"
  expect "Hello, world!" "$(hello)" hello
  expect 42 "$(python3 -c 'print(6 * 7)')" python3

  step "apt-get install --reinstall"
  apt install --reinstall --no-install-recommends "${packages[@]}" $(cat /opt/test-packages/reinstall)

  check_packages
  step "getcap"
  expect "/usr/bin/ping cap_net_raw=ep" "$(getcap /usr/bin/ping)" "capability of ping"
}

check_packages() {
  step "dpkg --verify, dpkg --audit"
  local report
  report=$(dpkg --verify)
  expect "" "$report" "dpkg --verify"
  report=$(dpkg --audit)
  expect "" "$report" "dpkg --audit"
}

stage_use() {
  step "useradd, sudo, su, ping"
  if id tester >/dev/null 2>&1; then userdel --remove --force tester >/dev/null 2>&1; fi
  useradd --create-home --uid 1500 --shell /bin/bash tester
  echo 'tester ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/tester
  chmod 0440 /etc/sudoers.d/tester
  expect 1500 "$(as_tester id -u)" "runuser"
  expect "0:0" "$(as_tester sudo -n -- sh -c 'echo $(id -u):$(id -g)' 2>/dev/null)" "sudo"
  as_tester sudo -n install -o tester -g tester -m 0600 /etc/sudoers /home/tester/copy 2>/dev/null
  expect "tester 600" "$(stat -c '%U %a' /home/tester/copy)" "a file made by sudo"
  if as_tester cat /etc/shadow 2>/dev/null; then fail "a user reads /etc/shadow"; fi
  if as_tester touch /usr/bin/tester 2>/dev/null; then fail "a user writes to /usr/bin"; fi
  as_tester ping -q -c 1 -W 5 127.0.0.1 >/dev/null || fail "a user can't ping"

  use_git
  use_sqlite
  overwrite_executed_file
  change_lower_files
  check_packages
}

use_git() {
  step "git init, commit, gc, fsck, clone"
  rm -rf /home/tester/{repository,clone,copy-of-clone}
  as_tester bash -euo pipefail -c '
    cd ~
    git init -q -b main repository
    cd repository
    git config user.name tester; git config user.email tester@example.org; git config pack.threads 1
    git config gc.auto 0
    for round in $(seq 12); do
      mkdir -p "d$((round % 4))"
      for n in $(seq 40); do echo "round $round file $n" >>"d$((round % 4))/f$n"; done
      cp /usr/bin/perl "binary$((round % 2))"
      git add -A; git commit -q -m "round $round"
    done
    git checkout -q -b side HEAD~3; git rm -q -r d1; git mv d2 d5; git commit -q -m side
    git checkout -q main
    git -c merge.renames=true merge -q --no-edit -X ours side >/dev/null
    git gc -q --prune=now
    git fsck --full --strict --no-progress
    [ -z "$(git status --porcelain)" ]
    git clone -q ~/repository ~/clone
    git clone -q --no-local ~/repository ~/copy-of-clone
    git -C ~/clone fsck --full --strict --no-progress
    git -C ~/copy-of-clone fsck --full --strict --no-progress
    [ "$(git -C ~/clone rev-parse HEAD)" = "$(git rev-parse HEAD)" ]
    [ -z "$(git -C ~/clone status --porcelain)" ]
    git -C ~/repository repack -q -a -d -f
  '
}

use_sqlite() {
  step "SQLite in WAL mode, four writers"
  local database=/var/lib/writers/data.db writer pids=()
  rm -rf /var/lib/writers
  mkdir /var/lib/writers
  expect wal "$(sqlite3 "$database" 'PRAGMA journal_mode=WAL;')" "journal mode"
  sqlite3 "$database" 'CREATE TABLE entry(writer INTEGER, n INTEGER, text TEXT, PRIMARY KEY(writer, n)) WITHOUT ROWID;'
  for writer in 1 2 3 4; do
    {
      echo 'PRAGMA synchronous=NORMAL;'
      for n in $(seq 250); do
        echo "BEGIN IMMEDIATE; INSERT INTO entry VALUES($writer, $n, hex(zeroblob(200))); COMMIT;"
      done
    } | sqlite3 -bail -cmd '.timeout 60000' "$database" >/dev/null &
    pids+=($!)
  done
  for writer in "${pids[@]}"; do wait "$writer" || fail "a writer of the database failed"; done
  expect ok "$(sqlite3 "$database" 'PRAGMA integrity_check;')" "integrity_check"
  expect 1000 "$(sqlite3 "$database" 'SELECT count(*) FROM entry;')" "rows"
  sqlite3 "$database" 'PRAGMA wal_checkpoint(TRUNCATE);' >/dev/null
  expect ok "$(sqlite3 "$database" 'PRAGMA integrity_check;')" "integrity_check after the checkpoint"
  # Page order depends on who wrote when; the rows in order don't.
  sqlite3 "$database" 'SELECT * FROM entry ORDER BY writer, n;' >/var/lib/writers/rows
}

overwrite_executed_file() {
  step "overwrite an executed file"
  # sed is on the lower and was not reinstalled: what runs is the lower file.
  local program=/usr/bin/sed pipe=/tmp/pipe answer=/tmp/answer pid
  rm -f "$pipe" "$answer"
  mkfifo "$pipe"
  $program -u s/question/answer/ <"$pipe" >"$answer" &
  pid=$!
  exec 7>"$pipe"
  # An answer proves that exec is over; only then is the file busy.
  echo first question >&7
  wait_for "first answer" "$answer"
  if (printf x >>$program) 2>/dev/null; then fail "an executed file could be opened for writing"; fi
  cp -p $program $program.new
  mv -f $program.new $program
  echo second question >&7
  wait_for "second answer" "$answer"
  exec 7>&-
  wait "$pid" || fail "sed died while it was replaced"
  expect yes "$(echo no | $program s/no/yes/)" "the new file"
  rm -f "$pipe" "$answer"
}

wait_for() { # wait_for LINE FILE
  local n
  for n in $(seq 100); do
    if grep -qx "$1" "$2"; then return; fi
    sleep 0.1
  done
  fail "'$1' did not come"
}

change_lower_files() {
  step "change lower files"
  touch /usr/bin/ping
  expect "/usr/bin/ping cap_net_raw=ep" "$(getcap /usr/bin/ping)" "capability after a copy-up"
  echo changed >>/etc/issue.net.new
  cp -p /etc/issue.net /etc/issue.net.new
  mv /etc/issue.net.new /etc/issue.net
  chmod 0700 /srv
  chown tester:tester /srv
  ln -f /etc/debian_version /etc/debian_version.link
  rm -rf /mnt.moved
  cp -a /mnt /mnt.moved
  mkdir -p /opt/moved
  # Directories of the lower move by copying (EXDEV), those of the upper by rename.
  keep_perl5
  if [ -d /usr/share/perl5 ]; then
    rm -rf /usr/share/perl5.moved /usr/share/perl5.again /opt/moved/perl5
    mv /usr/share/perl5 /usr/share/perl5.moved
    mv /usr/share/perl5.moved /opt/moved/perl5
    cp -a /opt/moved/perl5 /usr/share/perl5.again
    mv /usr/share/perl5.again /usr/share/perl5
    mv /opt/perl5.kept /opt/perl5.old
  fi
  rm -rf /opt/perl5.old
}

# A directory that is moved by copying is in neither place as a whole for a while: whoever is cut off then begins with the copy that
# is made before. It gets and loses its name in one step.
keep_perl5() {
  rm -rf /opt/perl5.new
  if [ -d /opt/perl5.kept ]; then
    rm -rf /usr/share/perl5
    cp -a /opt/perl5.kept /usr/share/perl5
  elif [ -d /usr/share/perl5 ]; then
    cp -a /usr/share/perl5 /opt/perl5.new
    mv /opt/perl5.new /opt/perl5.kept
  fi
}

stage_remove() {
  step "apt-get purge"
  apt purge hello git tzdata
  apt autoremove --purge
  if command -v git >/dev/null; then fail "git is still there"; fi

  step "rm -rf of lower trees"
  rm -rf /usr/share/doc /usr/share/perl /opt/moved
  if [ -e /usr/share/doc ]; then fail "/usr/share/doc is still there"; fi
  mkdir /usr/share/doc
  expect "" "$(ls -A /usr/share/doc)" "a directory made again"
  apt clean

  step "dpkg --audit"
  local report
  report=$(dpkg --audit)
  expect "" "$report" "dpkg --audit"
}

# After a crash: what an administrator does before going on.
stage_repair() {
  step "stale locks"
  # They name a process id, and ids come round again.
  rm -f /etc/{passwd,shadow,group,gshadow,subuid,subgid}.lock

  step "dpkg --configure -a"
  dpkg --configure -a
  apt install --fix-broken
}

case "${1:-}" in
  install | use | remove | repair) "stage_$1" </dev/null ;;
  *) fail "no such stage: ${1:-}" ;;
esac
step "done"
