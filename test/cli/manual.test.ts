/** The manual page says what the program does: its exit codes, flags and options are those of the code. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { exitCodeHelp, exitCodes } from "../../src/cli/exit-codes.ts";
import { kernelFlags } from "../../src/mount/kernel-flags.ts";

const manual = readFileSync(new URL("../../man/veneer.1.md", import.meta.url), "utf8");

describe("the manual page", () => {
  it("has the exit codes of the program, all of them", () => {
    const rows = [...manual.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map((row) => [
      Number(row[1]),
      row[2]?.replaceAll("`", ""),
    ]);
    expect(rows).toEqual(exitCodeHelp);
    expect(exitCodeHelp.map(([code]) => code)).toEqual(Object.values(exitCodes));
  });

  it("has every flag and every option that --help has", () => {
    const help = parseCommandLine(["mount", "--help"], "0");
    const text = help.kind === "print" ? help.text : "";
    const flags = [...text.matchAll(/^ {2}(?:-\w, )?(--?[a-z-]+)/gm)].map((match) => match[1] as string);
    const options = [...text.matchAll(/\b([a-z_]+)=/g)].map((match) => match[1] as string);
    expect(flags.length).toBeGreaterThan(6);
    expect(options.length).toBeGreaterThan(6);
    for (const word of [...flags.filter((flag) => flag !== "--help"), ...options]) {
      expect(manual, word).toContain(word);
    }
  });

  it("names no generic option that is not known", () => {
    const paragraph = /^\*\*ro\*\*, [^:]*/m.exec(manual)?.[0] ?? "";
    const named = [...paragraph.matchAll(/\*\*([a-z]+)\*\*/g)].map((match) => match[1] as string);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !kernelFlags.has(name))).toEqual([]);
  });
});
