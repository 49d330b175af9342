#!/bin/bash
# bubblewrap as a plain user in a root file system that Veneer has mounted, and beside it in one of the kernel's overlayfs: over a mount
# of root's, over one in a user namespace of the user's own, and over one that he has by fusermount3 (beside it, one of root's). Compares
# what the programs in it say, and what lies in the uppers. Installs what it needs; leaves nothing.
#
# usage: test/clients/bwrap.sh
#
# Each step prints "ok" or "FAILED"; the last line counts them. The status is 0 only if none failed.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
. scripts/set-up.sh
. "$here/steps.sh"

if [ "${1-}" != inside ]; then
  alone bwrap "$0" "$@"
fi
state=$2
user=4242
# Where the user can reach it, wherever the checkout is.
mkdir "$state/checkout" && mount --bind "$PWD" "$state/checkout"
veneer=$state/checkout/bin/veneer
# As most systems have it, whatever this one says; and fusermount3 wants users to have a name.
mknod --mode=666 "$state/fuse" c 10 229 && mount --bind "$state/fuse" /dev/fuse
{ cat /etc/passwd && echo "veneer-test:x:$user:$user::/home/me:/bin/sh"; } >"$state/passwd" && mount --bind "$state/passwd" /etc/passwd

as_user() { setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=-all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/home/me timeout --kill-after=5 60 "$@"; }
as_user unshare --user true || stop "a plain user may not make a user namespace: set the sysctl user.max_user_namespaces, or kernel.unprivileged_userns_clone"

# A small Debian: as root's, with a home directory, and as the user's.
make_trees() {
  mkdir "$state/system" &&
    tar --extract --file "$(scripts/debian-rootfs)" --directory "$state/system" --exclude './var/cache/apt/archives/[!h]*' --exclude './var/lib/apt/*' \
      --exclude './usr/lib/*/gconv/*' --exclude './usr/lib/python3*' --exclude './usr/share/locale/*' --exclude './usr/share/man/*' --exclude './dev/*' &&
    mv "$state"/system/var/cache/apt/archives/hello_*.deb "$state/system/opt/hello.deb" &&
    mkdir -p "$state/system/home/me/"{tree/below,moved/below} && (
    cd "$state/system/home/me" && touch gone tree/below/file && echo old >old && echo kept >kept && echo start >appended && echo one >moved/below/file &&
      ln kept also-kept && setfattr -n user.colour -v blue kept && chown -R $user:$user .
  ) && cp -a "$state/system" "$state/own" && chown -R $user:$user "$state/own"
}

# The layers of a mount: $lower, $upper, $work, $merged.
lay() { # lay WAY LOWER
  lower=$state/$2 upper=$state/$1.$store.upper work=$state/$1.$store.work merged=$state/$1.$store.merged
  layers="lowerdir=$lower,upperdir=$upper,workdir=$work"
  [ -d "$upper" ] || {
    mkdir "$upper" "$work" "$merged"
    chown --reference="$lower" "$upper" "$work" "$merged"
  }
}

# The three ways to have a mount, for a line of shell over it, which finds it in $merged
over_roots() { # over_roots LINE; and so with the others
  lay roots system
  if [ $store = kernel ]; then mount -t overlay -o "$layers" none "$merged"; else "$veneer" mount -o "$layers" "$merged"; fi || return
  as_user env merged="$merged" sh -c "$1"
  ended $? umount
}
over_namespaces() {
  lay namespaces own
  local mount="$veneer mount -o $layers $merged"
  [ $store = veneer ] || mount="mount -t overlay -o userxattr,$layers none $merged"
  as_user env merged="$merged" unshare --user --map-root-user --mount sh -c "$mount && { $1
    status=\$?; umount $merged; exit \$status; }"
}
over_fusermounts() {
  lay fusermounts own
  local unmount=(umount)
  if [ $store = kernel ]; then
    mount -t overlay -o "userxattr,nosuid,nodev,$layers" none "$merged" || return
  else
    as_user "$veneer" mount -o "$layers" "$merged" || return
    unmount=(as_user fusermount3 -u)
  fi
  as_user env merged="$merged" sh -c "$1"
  ended $? "${unmount[@]}"
}
ended() { "${@:2}" "$merged" && return "$1"; }

# bubblewrap in $merged, with /dev and /proc and namespaces of its own
bwrap='bwrap --bind "$merged" / --dev /dev --proc /proc --tmpfs /tmp --unshare-all --die-with-parent --new-session'

runs="$bwrap sh -c 'id -u; id -g; cat /etc/debian_version; perl -e \"print 6 * 7\"; dpkg --print-architecture; ls /; stat -c \"%n %u %h %a\" /home/me/*'"

# What a user does at home, and may not do elsewhere.
works="$bwrap sh -c 'cd /home/me
  set -x; echo new >new; mv old renamed; ln new linked; rm gone; rm -r tree; mkdir tree; echo only >tree/only; mv moved elsewhere; ln -s nowhere link
  echo more >>appended; chmod 600 kept; touch -d 2001-02-03 also-kept; mkfifo fifo; mkdir -m 2775 shared; cp /usr/bin/true program; ./program
  truncate -s 1M sparse; dd if=renamed of=sparse bs=4096 seek=100 conv=notrunc status=none; chmod 4755 program; sync new
  perl -e \"open(my \\\$f, q(+<), q(appended)); flock(\\\$f, 2); rename(q(appended), q(appended2)); print <\\\$f>\"
  mknod device c 1 3; chown 0:0 new; chown 1:1 new; touch /etc/passwd /usr/new; rm -f /etc/issue; echo x >/etc/issue; rmdir /home/me
  set +x; find . -printf \"%p %y %m %n %s %U %l\n\" | sort; cat elsewhere/below/file tree/only renamed' 2>&1"

reads_only="${bwrap/--bind/--ro-bind} sh -c 'cat /home/me/kept; echo x >/home/me/kept; rm /home/me/kept; touch /home/me/x; ls -A /home/me' 2>&1; true"

binds="${bwrap} --bind \"\$merged/home/me/tree\" /mnt --chdir /mnt --setenv A b sh -c 'pwd; echo \$A; ls -A; echo bound >bound; cat /home/me/tree/bound; rm /home/me/tree/below/file || true; mv bound /home/me/over 2>&1; ls /mnt /home/me'"

# As root of a namespace of bubblewrap's, in a tree that is the user's.
installs="${bwrap} --unshare-user --uid 0 --gid 0 sh -c 'id -u; dpkg -i /opt/hello.deb && hello && rm -rf /usr/share/doc/hello && dpkg --verify hello; dpkg --purge hello && dpkg -i /opt/hello.deb
  rm -f /var/log/dpkg.log; touch -d 2001-02-03 /var/lib/dpkg; chown 0:0 /usr/bin/hello; ls -ln /usr/bin/hello; rm -rf /usr/share/perl5; mkdir /usr/share/perl5; ls -A /usr/share/perl5; mv /usr/share/bash-completion /srv/ && ls /srv' 2>&1"

# What lies in an upper, and what the kernel's overlayfs makes of it.
in_upper() { # in_upper WAY LOWER [OPTION]
  lay "$1" "$2"
  mkdir -p "$state/seen"
  mount -t overlay -o "${3:+$3,}$layers" none "$state/seen" || return
  manifest "$state/seen" && umount "$state/seen"
  # A whiteout belongs to whoever mounted.
  find "$upper" -type c -printf '%P whiteout\n' -o -printf '%P %y %s %m %U %n %l\n' | sort
}

: >"$state/justified"
make_trees >"$state/why" 2>&1
report $? "trees of root's and of the user's"
since=$(date +%s)
both "over a mount of root's: runs programs" over_roots "$runs"
both "over a mount of root's: works at home" over_roots "$works"
both "over a mount of root's: --ro-bind" over_roots "$reads_only"
both "over a mount of root's: a directory bound twice" over_roots "$binds"
both "over a mount of root's: the upper" in_upper roots system
for way in namespace fusermount; do
  over=over_${way}s
  of="over a mount in a namespace"
  [ $way = namespace ] || of="over a mount by fusermount3"
  both "$of: runs programs" $over "$runs"
  both "$of: works at home" $over "$works"
  both "$of: --ro-bind" $over "$reads_only"
  both "$of: a directory bound twice" $over "$binds"
  both "$of: installs a package" $over "$installs"
  both "$of: the upper" in_upper ${way}s own userxattr
done
grep -E " $state/[^ ]*merged " /proc/self/mountinfo >"$state/why"
[ ! -s "$state/why" ]
report $? "no mount is left"

printf '%d steps passed, %d failed\n' $passed $failed
[ $failed = 0 ]
