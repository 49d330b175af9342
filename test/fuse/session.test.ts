/** The whole transport on a real mount of a file system in memory. */
import { expect, test } from "vitest";
import { MemoryFilesystem } from "./memory-filesystem.ts";
import { runInMount } from "./mounted.ts";

test("names, files and attributes work as in any directory", () => {
  const filesystem = new MemoryFilesystem();
  const { output, lines } = runInMount(
    () => filesystem,
    `
    set -e
    mkdir d; echo hello >d/f; cat d/f; echo more >>d/f; wc -c <d/f
    ln -s d/f l; readlink l; cat l
    ln d/f h; stat -c %h h
    mv d/f d/g; ls d; rm d/g h; rmdir d; ls -A
    `,
  );
  expect(output).toBe("hello\n11\nd/f\nhello\nmore\n2\ng\nl\nexit 0\n");
  expect(lines).toEqual([]);
  expect(filesystem.destroyed).toBe(true);
});
