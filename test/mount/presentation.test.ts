/**
 * Owners, link counts and xattrs shown otherwise than they are stored. These options are fuse-overlayfs's, the kernel's overlayfs has
 * none of them: the layers tell what is stored, and a user namespace what such a mount is for.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stand } from "../cli/stand.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

const inMount = (options: string, prepare: string, lines: string) => stand.printed(options, prepare, lines);

const owners = 'stat -c "%n %u:%g"';
const mapped = "uidmapping=:0:100000:1000:1000:5:1,gidmapping=:0:200000:1000";
const asUser = "setpriv --reuid 100007 --regid 200008 --clear-groups";

describe("uidmapping= and gidmapping=", () => {
  it("show mapped owners, in listings too, and others as the overflow id", async () => {
    const prepare =
      "chown 3:4 lower/file; touch lower/kept lower/other; chown 1000:1 lower/kept; chown 1001:1001 lower/other";
    expect(
      await inMount(mapped, prepare, `${owners} mnt/file mnt/kept mnt/other; ls -ln mnt | awk 'NR>1{print $3}'`),
    ).toBe("mnt/file 100003:200004\nmnt/kept 5:200001\nmnt/other 65534:65534\n100003\n5\n65534\n");
  });

  it("store what is made and given away by its counterpart", async () => {
    const lines = `chmod 777 mnt; ${asUser} sh -c 'echo x >mnt/f; mkdir mnt/d; mkfifo mnt/p; ln -s x mnt/s; umask 0; : >mnt/d/deep'
      chown 5:200009 mnt/file; for f in mnt/f mnt/d mnt/p mnt/s mnt/d/deep mnt/file upper/f upper/d upper/p upper/s upper/d/deep upper/file; do ${owners} $f; done`;
    expect(await inMount(mapped, ":", lines)).toBe(
      ["f", "d", "p", "s", "d/deep"]
        .map((name) => `mnt/${name} 100007:200008\n`)
        .concat("mnt/file 5:200009\n")
        .concat(["f", "d", "p", "s", "d/deep"].map((name) => `upper/${name} 7:8\n`))
        .concat("upper/file 1000:9\n")
        .join(""),
    );
  });

  it("have no way to store who is not mapped: EOVERFLOW; what such a caller makes is nobody's", async () => {
    const lines = `chown 4711 mnt/file 2>&1 || true; touch mnt/new; ${owners} mnt/file upper/new mnt/new`;
    expect(await inMount(mapped, ":", lines)).toBe(
      `chown: changing ownership of 'mnt/file': Value too large for defined data type\n${"mnt/file 100000:200000"}\nupper/new 65534:65534\nmnt/new 65534:65534\n`,
    );
  });

  it("hold for permissions: owner and group may what the mode says", async () => {
    const prepare = "chown 7:3 lower/file; chmod 600 lower/file";
    const lines = `${asUser} cat mnt/file; setpriv --reuid 7 --regid 3 --clear-groups cat mnt/file 2>&1 || echo refused`;
    expect(await inMount(mapped, prepare, lines)).toBe("from the lower\ncat: mnt/file: Permission denied\nrefused\n");
  });

  it("hold for the ids in ACLs and capabilities", async () => {
    const prepare = "setfacl -m u:7:r,g:8:r lower/file; cp /bin/true lower/true; setcap cap_net_raw+ep lower/true";
    const acl = "getfacl -n -c --omit-header";
    const lines = `${acl} mnt/file | grep :.*[0-9]:; setfacl -m u:100009:r mnt/file; ${acl} upper/file | grep :.*[0-9]:
      getcap -n mnt/true; setcap -n 100000 cap_net_admin+ep mnt/file; getcap -n upper/file; getcap -n mnt/file`;
    expect(await inMount(mapped, prepare, lines)).toBe(
      "user:100007:r--\ngroup:200008:r--\nuser:7:r--\nuser:9:r--\ngroup:8:r--\n" +
        "mnt/true cap_net_raw=ep [rootid=100000]\nupper/file cap_net_admin=ep\nmnt/file cap_net_admin=ep [rootid=100000]\n",
    );
  });

  it("are what a user namespace with these ids needs to see its own", async () => {
    const enter = `unshare --user sleep 20 & pid=$!
      until [ $(readlink /proc/$pid/ns/user) != $(readlink /proc/self/ns/user) ]; do sleep 0.02; done
      echo 0 100000 1000 >/proc/$pid/uid_map; echo 0 200000 1000 >/proc/$pid/gid_map
      nsenter --user=/proc/$pid/ns/user --setuid 0 --setgid 0`;
    const lines = `${enter} sh -c '${owners} mnt/file; touch mnt/new; chown 9:9 mnt/new; mkdir mnt/dir; ${owners} mnt/new mnt/dir'; kill $pid; ${owners} upper/new upper/dir`;
    expect(await inMount("uidmapping=0:100000:1000,gidmapping=0:200000:1000", "chmod 755 .", lines)).toBe(
      "mnt/file 0:0\nmnt/new 9:9\nmnt/dir 0:0\nupper/new 9:9\nupper/dir 0:0\n",
    );
  });
});

describe("squash_to_root, squash_to_uid= and squash_to_gid=", () => {
  const prepare = "chown 3:4 lower/file";
  const lines = `${owners} mnt/file; chown 8:9 mnt/file; ${owners} mnt/file upper/file`;

  it.each([
    ["squash_to_root", "0:0"],
    ["squash_to_uid=77", "77:4"],
    ["squash_to_root,squash_to_gid=88", "0:88"],
    ["uidmapping=0:1000:9,squash_to_gid=88", "1003:88"],
  ])("%s shows the owner %s, and stores what it is told", async (options, shown) => {
    const [uid = "", gid = ""] = shown.split(":");
    const isMapped = options.startsWith("uidmapping");
    const wanted = isMapped
      ? `mnt/file ${shown}\nmnt/file 1004:88\nupper/file 4:9\n`
      : `mnt/file ${shown}\nmnt/file ${uid}:${gid === "4" ? 9 : gid}\nupper/file 8:9\n`;
    expect(await inMount(options, prepare, isMapped ? lines.replace("chown 8", "chown 1004") : lines)).toBe(wanted);
  });
});

it("static_nlink: a directory has one link, a file as many as it has", async () => {
  const lines =
    "mkdir -p mnt/d/a mnt/d/b; ln mnt/file mnt/again; stat -c '%n %h' mnt mnt/d mnt/file; stat -c %h upper/d";
  expect(await inMount("static_nlink", ":", lines)).toBe("mnt 1\nmnt/d 1\nmnt/file 2\n4\n");
});

describe("xattrs", () => {
  const prepare = "setfattr -n user.a -v 1 lower/file; setfacl -m u:7:r lower/file";
  const look =
    "set +e; getfattr -m - mnt/file 2>&1; setfattr -n user.b -v 2 mnt/file 2>&1; setfacl -m u:8:r mnt/file 2>&1; true";

  it("noxattrs=1: nobody has any", async () => {
    expect(await inMount("noxattrs=1", prepare, look)).toBe(
      "getfattr: mnt/file: Operation not supported\nsetfattr: mnt/file: Operation not supported\nsetfacl: mnt/file: Operation not supported\n",
    );
  });

  it("noacl: no ACLs, but all others", async () => {
    expect(await inMount("noacl", prepare, look)).toBe(
      "# file: mnt/file\nuser.a\n\nsetfacl: mnt/file: Operation not supported\n",
    );
  });

  it("noacl: default ACLs are not inherited, by nobody; modes alone say who may do what", async () => {
    const shared = "chmod 777 lower/d; setfacl -d -m u:7:rwx lower/d; setfacl -m u:100007:- lower/d";
    const make = "umask 027; touch mnt/d/$0.f; mkdir mnt/d/$0.d";
    const lines = `sh -c '${make}' root; ${asUser} sh -c '${make}' user; stat -c '%n %a' mnt/d mnt/d/*
      getfacl -n -s -R upper/d | grep : | grep -v '^#'`;
    expect(await inMount("noacl", `mkdir lower/d; ${shared}; chmod g=rwx lower/d`, lines)).toBe(
      "mnt/d 777\nmnt/d/root.d 750\nmnt/d/root.f 640\nmnt/d/user.d 750\nmnt/d/user.f 640\n" +
        "user::rwx\nuser:100007:---\ngroup::rwx\nmask::rwx\nother::rwx\n" +
        "default:user::rwx\ndefault:user:7:rwx\ndefault:group::rwx\ndefault:mask::rwx\ndefault:other::rwx\n",
    );
  });
});
