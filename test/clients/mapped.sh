# Sourced by engines.sh: containers with ids of their own. podman 4.3 maps those of the lowers by id-mapped mounts, and with a mount
# program asks that to map them too.

work_of_mapped='set -e
cat /proc/self/uid_map; echo new >/srv/new; echo more >>/etc/debian_version; chown 1234:1234 /srv/new /etc/debian_version /usr/bin/tac; chmod 600 /etc/issue.net
rm -rf /usr/share/perl5.moved /usr/share/zoneinfo/America; mkdir -m 2775 /srv/dir; chown 5:60 /srv/dir; touch /srv/dir/inherits; ln /srv/new /srv/linked; mv /srv/zoneinfo/Asia /srv/Asia'
# Link counts of directories are left out: the kernel's overlayfs shows 1 for merged ones.
look_of_mapped='cd /; find . -xdev -path ./proc -prune -o -type d -printf "%p %m %U %G\n" -o -printf "%p %y %m %U %G %n %l\n" | sort
find . -xdev -type f -exec cksum {} + | sort -k 3; getcap -n -r /usr/bin /srv 2>/dev/null | sort'

# in_mapped OPTION...: what the container sees, before and after its work
in_mapped() {
  here_podman run --detach --name mapped "$@" localhost/day sleep 1000 >&2 &&
    here_podman exec mapped sh -c "$look_of_mapped" && here_podman exec mapped sh -c "$work_of_mapped" &&
    here_podman exec mapped sh -c "$look_of_mapped" && here_podman stop --time 0 mapped >&2 && here_podman rm mapped >&2
}

mapped() {
  both "run --uidmap, --gidmap: tree" in_mapped --uidmap 0:100000:65536 --gidmap 0:100000:65536
  # Which ids are to be had is a matter of these files.
  echo containers:200000:300000 >"$state/ids"
  mount --bind "$state/ids" /etc/subuid && mount --bind "$state/ids" /etc/subgid
  both "run --userns=auto: tree" in_mapped --userns=auto:size=65536 --network none --hostname mapped --no-hosts
  only_veneer "no mount and no daemon of these is left" remains
}
