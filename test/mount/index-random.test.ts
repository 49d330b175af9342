/**
 * Random work on files with several names, with index=on, against a model that just knows which name is which file. Both overlays
 * take turns in mounting the layers. A failure names its seed; VENEER_TEST_SEEDS=FROM-TO runs others than the usual ones.
 */
import { describe, expect, test } from "vitest";
import { describeOverlay, type Mounted, refuses } from "../support/overlay.ts";
import { hardlink, type Tree } from "../support/tree.ts";

const [firstSeed = 1, lastSeed = 2] = (process.env.VENEER_TEST_SEEDS ?? "1-2").split("-").map(Number);
const stepsOfASeed = 40;

const lower: Tree = {
  a: "one",
  b: hardlink("a"),
  c: "two",
  d: { a: hardlink("a"), b: hardlink("a"), c: hardlink("c"), e: "three" },
  e: "four",
};
const below: Tree = { d: { f: "five", g: hardlink("d/f") }, g: hardlink("d/f") };
const paths = ["", "d/", "new/"].flatMap((directory) => ["a", "b", "c", "e", "f", "g"].map((name) => directory + name));

/** Every other seed also leaves data on the lower. */
const optionsOf = (seed: number) => (seed % 2 === 0 ? ["index=on", "metacopy=on", "redirect_dir=on"] : ["index=on"]);

interface ModelFile {
  content: string;
  mode: number;
  /** As first seen; it never changes. */
  ino?: bigint | number;
}

class Model {
  readonly names = new Map<string, ModelFile>();
  /** The files that have several names on a lower. */
  readonly linked: readonly ModelFile[];

  constructor() {
    const [one, two, three, four, five] = ["one", "two", "three", "four", "five"].map((content) => ({
      content,
      mode: 0o644,
    })) as [ModelFile, ModelFile, ModelFile, ModelFile, ModelFile];
    this.linked = [one, two, five];
    for (const [file, names] of [
      [one, ["a", "b", "d/a", "d/b"]],
      [two, ["c", "d/c"]],
      [three, ["d/e"]],
      [four, ["e"]],
      [five, ["d/f", "d/g", "g"]],
    ] as const) {
      for (const name of names) {
        this.names.set(name, file);
      }
    }
  }

  links(file: ModelFile): number {
    return [...this.names.values()].filter((other) => other === file).length;
  }
}

describeOverlay("random work with index=on", (overlay) => {
  const other = overlay.kind === "kernel" ? "veneer" : "kernel";

  async function check(m: Mounted, model: Model, name: string): Promise<void> {
    const file = model.names.get(name);
    if (file === undefined) {
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${name}`));
      return;
    }
    const { mode, nlink, ino } = await m.sys.lstat(`${m.mnt}/${name}`);
    file.ino ??= ino;
    expect({ mode: mode & 0o7777, nlink, ino }, name).toEqual({
      mode: file.mode,
      nlink: model.links(file),
      ino: file.ino,
    });
    expect(await m.sys.readFile(`${m.mnt}/${name}`), name).toBe(file.content);
  }

  /** One step of work, done on the mount and in the model. */
  async function step(m: Mounted, model: Model, random: (below: number) => number): Promise<string> {
    const { names } = model;
    const known = [...names.keys()].sort();
    const [from, to] = [known[random(known.length)] ?? "none", paths[random(paths.length)] as string];
    const [file, target] = [names.get(from), names.get(to)];
    const at = (name: string) => `${m.mnt}/${name}`;
    const kind = random(12);
    if (file === undefined || kind === 0) {
      await m.remount(random(2) === 0 ? other : overlay.kind);
      return "remount";
    }
    if (kind <= 2) {
      file.content += `${kind}`;
      await m.sys.appendFile(at(from), `${kind}`);
      return `append to ${from}`;
    }
    if (kind === 3) {
      file.mode = 0o600 + random(0o100);
      await m.sys.chmod(at(from), file.mode);
      return `chmod ${from}`;
    }
    if (kind <= 5) {
      names.delete(from);
      await m.sys.unlink(at(from));
      return `unlink ${from}`;
    }
    if (kind <= 8 && target === undefined) {
      names.set(to, file);
      await m.sys.link(at(from), at(to));
      return `link ${from} ${to}`;
    }
    if (kind === 9 && target !== undefined) {
      names.set(from, target).set(to, file);
      await m.sys.renameat2(at(from), at(to), "EXCHANGE");
      return `exchange ${from} ${to}`;
    }
    if (kind === 10 && target === undefined) {
      names.set(to, { content: "made", mode: 0o640 });
      await m.sys.writeFile(at(to), "made", 0o640);
      return `make ${to}`;
    }
    // Two names of one file stay as they are.
    if (target !== file) {
      names.delete(from);
      names.set(to, file);
    }
    await m.sys.rename(at(from), at(to));
    return `rename ${from} ${to}`;
  }

  describe.each(Array.from({ length: lastSeed - firstSeed + 1 }, (_, index) => firstSeed + index))(
    "seed %i",
    (seed) => {
      test("names, counts, numbers and contents are those of the model", async () => {
        const m = await overlay.mount({ lowers: [lower, below], upper: { new: {} }, options: optionsOf(seed) });
        const model = new Model();
        let state = seed;
        const random = (limit: number) => {
          // The generator of the C standard's example: good enough to choose by its upper bits.
          state = (Math.imul(state, 1103515245) + 12345) >>> 0;
          return Math.floor((state / 2 ** 32) * limit);
        };
        const done: string[] = [];
        try {
          for (let index = 0; index < stepsOfASeed; index++) {
            done.push(await step(m, model, random));
            if (index % 4 === 3) {
              for (const name of paths) {
                await check(m, model, name);
              }
            }
          }
          await m.remount();
          for (const name of paths) {
            await check(m, model, name);
          }
          const indexed = (await overlay.host.list(`${m.work}/index`)).filter((name) => !name.startsWith("#"));
          // A file without a name has left the index, one that was never changed is not in it.
          expect(indexed.length).toBeLessThanOrEqual(model.linked.filter((file) => model.links(file) > 0).length);
        } catch (error) {
          throw new Error(`after: ${done.join("; ")}`, { cause: error });
        }
      });
    },
  );
});
