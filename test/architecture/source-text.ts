/**
 * As much of TypeScript's grammar as the architecture rules need: which characters are code, which module a file imports,
 * where, and which functions it exports. Reads text alone; nothing is resolved or compiled.
 */

export interface Import {
  /** As written: `../errno.ts`, `node:fs`, `koffi`. */
  readonly specifier: string;
  readonly line: number;
  /** `export ... from`: the file hands on what another one has. */
  readonly reexport: boolean;
}

export interface ExportedFunction {
  readonly name: string;
  readonly line: number;
  readonly documented: boolean;
}

/** The same length and lines as the source, with blanks in the place of what was taken out. */
interface Blanked {
  /** Without comments. */
  readonly withStrings: string;
  /** Without comments and without what is between quotes; code in `${}` stays. */
  readonly code: string;
}

/** A slash after one of these begins a regular expression, after anything else it divides. */
const beforeRegex = /(^|[([{,;=:!&|?+\-*%<>~^}]|\b(return|typeof|case|of|in|do|else|void|throw))\s*$/;

/** Takes comments, strings and regular expressions out of a source text. */
function blank(source: string): Blanked {
  const withStrings = [...source];
  const code = [...source];
  const clear = (target: string[], from: number, to: number) => {
    for (let at = from; at < to; at++) {
      target[at] = source[at] === "\n" ? "\n" : " ";
    }
  };
  /** For each open `${`, how many braces are open in it. */
  const templates: number[] = [];
  let at = 0;
  const skipTemplate = (start: number) => {
    let end = start;
    while (end < source.length && source[end] !== "`" && !source.startsWith("${", end)) {
      end += source[end] === "\\" ? 2 : 1;
    }
    clear(code, start, end);
    if (source.startsWith("${", end)) {
      templates.push(0);
      at = end + 2;
    } else {
      at = end + 1;
    }
  };
  while (at < source.length) {
    const char = source[at] as string;
    if (source.startsWith("//", at) || source.startsWith("/*", at)) {
      const close = source[at + 1] === "/" ? source.indexOf("\n", at) : source.indexOf("*/", at + 2) + 2;
      const end = close < at + 2 ? source.length : close;
      clear(withStrings, at, end);
      clear(code, at, end);
      at = end;
    } else if (char === '"' || char === "'") {
      const end = endOfString(source, at, char);
      clear(code, at + 1, end);
      at = end + 1;
    } else if (char === "`") {
      skipTemplate(at + 1);
    } else if (char === "/" && beforeRegex.test(code.slice(Math.max(0, at - 40), at).join(""))) {
      const end = endOfRegex(source, at);
      clear(withStrings, at + 1, end);
      clear(code, at + 1, end);
      at = end + 1;
    } else if (char === "}" && templates.at(-1) === 0) {
      templates.pop();
      skipTemplate(at + 1);
    } else {
      const depth = templates.pop();
      if (depth !== undefined) {
        templates.push(depth + (char === "{" ? 1 : char === "}" ? -1 : 0));
      }
      at += 1;
    }
  }
  return { withStrings: withStrings.join(""), code: code.join("") };
}

function endOfString(source: string, start: number, quote: string): number {
  let end = start + 1;
  while (end < source.length && source[end] !== quote) {
    end += source[end] === "\\" ? 2 : 1;
  }
  return end;
}

function endOfRegex(source: string, start: number): number {
  let inClass = false;
  for (let end = start + 1; end < source.length; end++) {
    const char = source[end];
    if (char === "\\") {
      end += 1;
    } else if (char === "[") {
      inClass = true;
    } else if (char === "]") {
      inClass = false;
    } else if (char === "/" && !inClass) {
      return end;
    }
  }
  return source.length;
}

/** Every import of a file: static and dynamic, of values and of types, with and without names. */
export function importsOf(source: string): Import[] {
  const { withStrings, code } = blank(source);
  const found: Import[] = [];
  const statement =
    /\b(import|export)\b(?:[\w\s{},*$]*?\bfrom)?\s*(["'])([^"']*)\2|\b(import)\s*\(\s*(["'])([^"']*)\5/g;
  for (const match of withStrings.matchAll(statement)) {
    const keyword = (match[1] ?? match[4]) as string;
    // In a string the keyword is blank in `code`.
    if (code.startsWith(keyword, match.index)) {
      found.push({
        specifier: (match[3] ?? match[6]) as string,
        line: lineAt(source, match.index),
        reexport: keyword === "export",
      });
    }
  }
  return found;
}

/** The functions that a file exports under a name, also those held by constants. */
export function exportedFunctions(source: string): ExportedFunction[] {
  const { code } = blank(source);
  const declaration =
    /^export\s+(?:default\s+)?(?:(?:async\s+)?function\s*\*?\s*(\w+)|const\s+(\w+)\b[^=;]*=\s*(?:async\s*)?(?:function\b|(?:\([^()]*\)|\w+)\s*(?::[^=;{]+)?=>))/gm;
  return [...code.matchAll(declaration)].map((match) => ({
    name: (match[1] ?? match[2]) as string,
    line: lineAt(source, match.index),
    documented: /\/\*\*(?:[^*]|\*(?!\/))*\*\/\s*$/.test(source.slice(0, match.index)),
  }));
}

/** The lines on which `pattern` stands as code. */
export function linesWith(source: string, pattern: RegExp): number[] {
  return blank(source)
    .code.split("\n")
    .flatMap((line, index) => (pattern.test(line) ? [index + 1] : []));
}

function lineAt(source: string, index: number): number {
  return source.slice(0, index).split("\n").length;
}
