/**
 * Lowers on id-mapped mounts. The kernel's overlayfs shows the owners that such a mount tells, and stores these in the upper; so does
 * Veneer. With uidmapping= and gidmapping= for the same ids, which it alone has, it shows the same and stores the counterparts.
 */
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stand } from "../cli/stand.ts";

const script = fileURLToPath(new URL("../support/id-mapped.py", import.meta.url));
let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

/** What the lines print; the first error ends them. */
async function printed(lines: string): Promise<string> {
  const { status, stdout, stderr } = await stand.shell(`set -e\n${lines}`);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

/* `foreign` belongs to ones who are not mapped. */
const prepare = `chmod 755 .; mkdir kernel kernel/upper kernel/work; cd lower
  mkdir dir; echo 1 >dir/owned; echo 2 >given; touch foreign; echo 3 >named; cp /bin/true able; ln -s x link; mkfifo pipe
  chown -h 3:4 link dir dir/owned; chown 1001:1001 foreign; chown 5:6 given; chown 7:8 pipe; chmod 600 dir/owned
  setfacl -m u:7:r,g:8:w named; setfacl -d -m u:9:rwx dir; setcap cap_net_raw+ep able`;

const look = `stat -c "%n %u:%g %a" mnt/* mnt/dir/*; getfacl -pn mnt/named mnt/dir; getcap -n mnt/able; ls -ln mnt | awk '{ print $3, $4, $9 }'`;

const asOwner = "setpriv --reuid 100003 --regid 100004 --clear-groups";
const change = `exec 5<mnt/dir/owned 6<mnt/given; echo x >>mnt/dir/owned; stat -L -c %u:%g /proc/self/fd/5
  chmod 755 mnt/dir/owned; touch mnt/able; chown 100011:100012 mnt/named; setfacl -m u:100013:rwx mnt/named
  chown -h 100001:100001 mnt/link; rm mnt/pipe mnt/given; stat -L -c %u:%g /proc/self/fd/6
  ${asOwner} sh -c 'cat mnt/dir/owned; echo y >mnt/dir/made; mkdir mnt/dir/deep'; getfacl -pn mnt/dir/made`;

describe("a lower on an id-mapped mount", () => {
  it.for([
    ["", "100003:100004", "100011:100012", "100013"],
    [",uidmapping=0:100000:1000,gidmapping=0:100000:1000", "3:4", "11:12", "13"],
  ] as const)(
    "shows what the kernel's overlayfs shows, with%s",
    async ([options, owner, newOwner, named], { skip }) => {
      await printed(prepare);
      const mapped = await stand.shell(`mkdir mapped; python3 ${script} lower mapped 0 100000 1000`);
      skip(mapped.status === 2, `no id-mapped mounts on this kernel or file system: ${mapped.stderr}`);
      expect(mapped).toMatchObject({ status: 0, stderr: "" });
      const work = `${look}\n${change}\n${look}\nexec 5<&- 6<&-; umount mnt`;
      const wanted = await printed(
        `mount -t overlay -o lowerdir=mapped,upperdir=kernel/upper,workdir=kernel/work overlay mnt\n${work}`,
      );
      expect(wanted).toContain("mnt/dir/owned 100003:100004 600\n");
      expect(await printed(`"$V" -o lowerdir=mapped,upperdir=upper,workdir=work${options} mnt\n${work}`)).toBe(wanted);
      const stored =
        "stat -c %u:%g upper/dir/owned upper/named; getfacl -pcn upper/named | grep user:.*rwx; umount mapped";
      expect(await printed(stored)).toBe(`${owner}\n${newOwner}\nuser:${named}:rwx\n`);
    },
  );
});
