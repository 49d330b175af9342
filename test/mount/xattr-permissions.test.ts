/**
 * Owners, modes and types kept in an xattr, as containers/storage and fuse-overlayfs have them. The kernel's overlayfs knows nothing of
 * it: what a mount shows must be what that shows of the same changes (test/conformance plays random ones), and what lies in the layers
 * what those two write and read.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stand } from "../cli/stand.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

const printed = (options: string, prepare: string, lines: string) => stand.printed(options, prepare, lines);
const stat = "stat -c '%n %u:%g %a %F'";
const containers = "user.containers.override_stat";
const inFuseOverlayfs = ["security.fuseoverlayfs.override_stat", "user.fuseoverlayfs.override_stat"] as const;
const get = (name: string, path: string) => `getfattr -h --only-values -n ${name} ${path}; echo`;
const asUser = "setpriv --reuid 7 --regid 8 --clear-groups";

describe("what is written", () => {
  it("has its owner and mode in the xattr, in the form of containers/storage, and is root's and readable on disk", async () => {
    const lines = `chmod 1777 mnt; ${asUser} sh -c 'umask 027; echo x >mnt/f; mkdir mnt/d'; chmod 4711 mnt/file; mknod mnt/n c 1 3
      chown 5:6 mnt/d; chmod u+s mnt/f; ${stat} mnt/f mnt/d mnt/file mnt/n upper/f upper/d upper/file upper/n
      for path in upper upper/f upper/d upper/file; do ${get(containers, "$path")}; done`;
    expect(await printed("xattr_permissions=2", ":", lines)).toBe(
      "mnt/f 7:8 4640 regular file\nmnt/d 5:6 750 directory\nmnt/file 0:0 4711 regular file\nmnt/n 0:0 644 character special file\n" +
        "upper/f 0:0 755 regular file\nupper/d 0:0 755 directory\nupper/file 0:0 755 regular file\nupper/n 0:0 644 character special file\n" +
        "0:0:1777:dir\n7:8:4640:file\n5:6:0750:dir\n0:0:4711:file\n",
    );
  });

  it("is so by an xattr that only the privileged can set", async () => {
    expect(
      await printed("xattr_permissions=1", ":", `chown 5:6 mnt/file; ${get(inFuseOverlayfs[0], "upper/file")}`),
    ).toBe("5:6:0644:file\n");
  });

  it("stays in the form that the upper has", async () => {
    const prepare = `setfattr -n ${inFuseOverlayfs[1]} -v 0:0:755 upper`;
    expect(
      await printed("xattr_permissions=2", prepare, `chown 5:6 mnt/file; ${get(inFuseOverlayfs[1], "upper/file")}`),
    ).toBe("5:6:0644:file\n");
  });

  it("is nothing without the option", async () => {
    expect(await printed("xattr_permissions=0", ":", "chown 5:6 mnt/file; getfattr -m override upper/file upper")).toBe(
      "",
    );
  });

  it("keeps devices and owners where the daemon may make neither, and whiteouts", async () => {
    const prepare = 'ln -s there lower/link; V="setpriv --bounding-set=-chown,-mknod $V"; mount() { $V "$@"; }';
    const lines = `$V -o lowerdir=lower,upperdir=upper,workdir=work,xattr_permissions=2 mnt
      mknod -m 600 mnt/n c 1 3; mknod mnt/b b 7 1; chown 5:6 mnt/n; chown -h 5:6 mnt/link; rm mnt/file; mv mnt/b mnt/c
      find mnt -type c -o -type b -o -type l | sort; ${stat} mnt/n; stat -c '%t:%T' mnt/c; cat mnt/n
      ${get(containers, "upper/n")}; stat -c '%F %t:%T' upper/n upper/file`;
    const { stdout, stderr } = await stand.shell(`set -e; ${prepare}\n${lines}`);
    expect({ stdout, stderr }).toEqual({
      stdout:
        "mnt/c\nmnt/link\nmnt/n\nmnt/n 5:6 600 character special file\n7:1\n" +
        "5:6:0600:char-1-3\nregular empty file 0:0\ncharacter special file 0:0\n",
      stderr: "",
    });
  });

  it("follows ACLs, and chown(2) takes set-id bits and capabilities, as with the kernel's overlayfs", async () => {
    const lines = `cp /bin/true mnt/t; setcap cap_net_raw+ep mnt/t; chmod 6755 mnt/t; chown 5:6 mnt/t; getcap mnt/t
      cp /bin/true mnt/g; chmod 2644 mnt/g; chown :6 mnt/g; setfacl -m u:7:rwx,g::r mnt/file mnt/t; chmod 640 mnt/file mnt/t
      mkdir mnt/d; setfacl -d -m u:7:rwx mnt/d; chmod g+s mnt/d; chown :9 mnt/d; (umask 077; : >mnt/d/f; mkdir mnt/d/d)
      setfacl -m u::rw,g::r,o::- mnt/g; setfacl -b mnt/file; chmod 606 mnt/file
      ${stat} mnt/* mnt/d/*; getfacl -n -R mnt`;
    const inOverlayfs = `mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none mnt; ${lines}`;
    const expected = await stand.shell(`set -e; unshare --mount sh -ec '${inOverlayfs.replaceAll("'", `'"'"'`)}'`);
    expect(expected).toMatchObject({ status: 0, stdout: expect.stringContaining("mnt/g 0:6 2640 regular file") });
    await stand.shell("rm -r upper work; mkdir upper work");
    expect(await printed("xattr_permissions=2", ":", lines)).toBe(expected.stdout);
  });
});

describe("what is read", () => {
  const special = `for type in file dir pipe socket block-7-1 char-1-3; do : >lower/$type; setfattr -n ${containers} -v 1:2:0604:$type lower/$type; done`;
  const mark = (name: string) =>
    `setfattr -n ${name} -v 3:4:0750:dir lower; setfattr -n ${name} -v 5:6:4711 lower/file`;

  it.each([containers, ...inFuseOverlayfs])("is what %s says, where the layer's root has it", async (name) => {
    expect(await printed("xattr_permissions=2", mark(name), `rm -r upper; ${stat} mnt/file`)).toBe(
      "mnt/file 5:6 4711 regular file\n",
    );
  });

  it("is what the object says, where the root has none, or the mount no such option", async () => {
    const prepare = `${mark(containers)}; setfattr -x ${containers} lower`;
    expect(await printed("xattr_permissions=2", prepare, `${stat} mnt/file`)).toBe("mnt/file 0:0 644 regular file\n");
    expect(await printed("ro", `umount mnt; ${mark(containers)}`, `${stat} mnt/file`)).toBe(
      "mnt/file 0:0 644 regular file\n",
    );
  });

  it("may be a special file that a regular one stands for", async () => {
    const names = "mnt/file mnt/dir mnt/pipe mnt/socket mnt/block-7-1 mnt/char-1-3";
    const lines = `${stat} ${names}; stat -c '%t:%T' mnt/block-7-1 mnt/char-1-3; find mnt -type p -o -type s -o -type b -o -type c | sort
      chmod 600 mnt/char-1-3; stat -c '%u %a %t:%T' mnt/char-1-3; stat -c %F upper/char-1-3`;
    expect(await printed("xattr_permissions=2", `${mark(containers)}; ${special}`, lines)).toBe(
      [
        "file 1:2 604 regular empty file",
        "dir 1:2 604 regular empty file",
        "pipe 1:2 604 fifo",
        "socket 1:2 604 socket",
      ]
        .concat("block-7-1 1:2 604 block special file", "char-1-3 1:2 604 character special file")
        .map((line) => `mnt/${line}\n`)
        .concat("7:1\n1:3\n", "mnt/block-7-1\nmnt/char-1-3\nmnt/pipe\nmnt/socket\n")
        .concat("1 600 1:3\ncharacter special file\n")
        .join(""),
    );
  });

  it("is refused where it is malformed, and nothing else is", async () => {
    const prepare = `${mark(containers)}; for v in '' 1 1:2 1:2:9 1:2:4:tape 1:2:4:char 1:2:4:char-1; do : >"lower/bad $v"; setfattr -n ${containers} -v "$v" "lower/bad $v"; done`;
    const lines =
      "for name in mnt/bad*; do stat $name; stat \"$name\" && false; done 2>&1 | grep -c 'Invalid argument'; ls mnt";
    expect(await printed("xattr_permissions=2", prepare, lines.replace("stat $name; ", ""))).toBe(
      "7\nbad \nbad 1\nbad 1:2\nbad 1:2:4:char\nbad 1:2:4:char-1\nbad 1:2:4:tape\nbad 1:2:9\nfile\n",
    );
  });

  it("counts for permissions, in the layer alone that has it", async () => {
    const prepare = `${mark(containers)}; echo plain >upper/own; chmod 600 upper/own; chmod 755 . lower`;
    const lines = `${asUser} cat mnt/file 2>&1 || echo refused; setpriv --reuid 5 --clear-groups --regid 1 head -c4 mnt/file; ${asUser} cat mnt/own 2>&1 || echo refused`;
    expect(await printed("xattr_permissions=2", prepare, `chmod 755 mnt\n${lines}`)).toBe(
      "cat: mnt/file: Permission denied\nrefused\nfromcat: mnt/own: Permission denied\nrefused\n",
    );
  });

  it("comes up with a file, from whichever form to that of the upper", async () => {
    const prepare = `${mark(inFuseOverlayfs[0])}; mkdir lower/dir; setfattr -n ${inFuseOverlayfs[0]} -v 8:9:40700 lower/dir; echo 1 >lower/dir/plain`;
    const lines = `exec 5<mnt/file; echo more >>mnt/file; stat -L -c '%u:%g %a' /dev/fd/5; echo more >>mnt/dir/plain
      for path in upper/file upper/dir upper/dir/plain; do ${get(containers, "$path")}; done; getfattr -m override_stat upper/file`;
    expect(await printed("xattr_permissions=2", prepare, lines)).toBe(
      `5:6 4711\n5:6:4711:file\n8:9:0700:dir\n0:0:0644:file\n# file: upper/file\n${containers}\n\n`,
    );
  });
});

describe("the xattr itself", () => {
  it("is not shown in the mount, and nobody sets it there", async () => {
    const lines = `chown 5:6 mnt/file; getfattr -d -m override mnt/file mnt; for name in ${containers} ${inFuseOverlayfs.join(" ")}; do
      setfattr -n $name -v 0:0:4755 mnt/file 2>&1 || true; getfattr -n $name mnt/file 2>&1 || true; setfattr -x $name mnt/file 2>&1 || true; done; ${stat} mnt/file`;
    const refused = (name: string) =>
      `setfattr: mnt/file: Operation not permitted\nmnt/file: ${name}: No such attribute\nsetfattr: mnt/file: No such attribute\n`;
    expect(await printed("xattr_permissions=2", ":", lines)).toBe(
      `${[containers, ...inFuseOverlayfs].map(refused).join("")}mnt/file 5:6 644 regular file\n`,
    );
  });

  it("does not come up from a layer where it means nothing", async () => {
    const prepare = `setfattr -n ${containers} -v 0:0:4755 lower/file; chown 7:8 lower/file`;
    expect(await printed("xattr_permissions=2", prepare, `echo >>mnt/file; ${stat} mnt/file`)).toBe(
      "mnt/file 7:8 644 regular file\n",
    );
  });

  it("is why a mount is refused whose upper can't have it", async () => {
    const { status, stderr } = await stand.shell(`mkdir other; unshare --mount sh -ec 'mount -t ramfs none other
      mkdir other/u other/w; exec "$V" -o lowerdir=lower,upperdir=other/u,workdir=other/w,xattr_permissions=2 mnt'`);
    expect({ status, stderr }).toEqual({
      status: 33,
      stderr: `veneer: the layers could not be set up, EOPNOTSUPP (the upper can't have ${containers})\n`,
    });
  });
});

describe("beside fuse-overlayfs", () => {
  // fuse-overlayfs 1.10 adds 0755 to modes of what it makes and copies up, and its chmod(2) makes a file root's: a chown(2) comes last.
  const work = `umask 022; echo new >f; chmod 2750 f; chown 11:12 f; mkdir d2; chmod 700 d2; chown 13:14 d2
    echo deep >d2/deep; chmod 640 d2/deep; chown 1:1 d2/deep; mv d2/deep d2/moved; ln f hard
    echo more >>file; chmod 4604 file; chown 2:3 file; echo more >>dir/in; rm gone`;
  const prepare = `setfattr -n $N -v 0:0:755 upper; mkdir lower/dir; chmod 775 lower/dir; chown 8:9 lower/dir
    echo in >lower/dir/in; chmod 757 lower/dir/in; chown 10:10 lower/dir/in; : >lower/gone; chmod 755 upper`;
  const programs = { veneer: '"$V"', "fuse-overlayfs": "fuse-overlayfs" };
  const view = "find . -not -name '.wh.*' -printf '%p %y %U:%G %m\\n' | LC_ALL=C sort";
  /** Names, types and owners on disk, and what the xattrs say, but for the type: fuse-overlayfs has its bits in the mode. */
  const stored = `find . -not -name '.wh.*' -printf '%p %y %U:%G\\n' | LC_ALL=C sort
    find . -type d -o -type f -not -name '.wh.*' | LC_ALL=C sort | while read path; do
      echo "$path $(getfattr --only-values -n $N "$path" | sed -E 's/:(file|dir)$//; s/:(4|10|0)?([0-7]{4})$/:\\2/; s/:([0-7]{3})$/:0\\1/')"; done`;
  const other = { veneer: "fuse-overlayfs", "fuse-overlayfs": "veneer" } as const;

  async function changed(kind: keyof typeof programs, option: string, name: string): Promise<string[]> {
    const lines = `set -e; N=${name}; mkdir ${kind}; cd ${kind}; mkdir lower upper work mnt upper2 work2; echo lower >lower/file; ${prepare}
      ${programs[kind]} -o lowerdir=lower,upperdir=upper,workdir=work,${option} mnt 2>/dev/null
      (cd mnt; ${work}; ${view}); echo ====; (cd upper; ${stored}); umount mnt; echo ====
      ${programs[other[kind]]} -o lowerdir=upper:lower,upperdir=upper2,workdir=work2,${option} mnt 2>/dev/null
      (cd mnt; ${view}); umount mnt`;
    const { status, stdout, stderr } = await stand.shell(lines);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout.split("====\n");
  }

  it.each([
    ["1", inFuseOverlayfs[0]],
    ["2", inFuseOverlayfs[1]],
  ])(
    "xattr_permissions=%s: the same changes make the same, and each reads what the other made",
    async (value, name) => {
      const byVeneer = await changed("veneer", `xattr_permissions=${value}`, name);
      expect(byVeneer).toEqual(await changed("fuse-overlayfs", `xattr_permissions=${value}`, name));
      const [shown, , crossed] = byVeneer;
      expect(shown).toContain("./f f 11:12 750\n");
      expect(crossed).toEqual(shown);
    },
  );
});
