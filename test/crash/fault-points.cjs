/**
 * Preloaded into a daemon under test (`NODE_OPTIONS=--require`), in each of its threads: stands between Veneer and the C
 * library, counts the system calls that change something, and stops or fails the one that the control file names.
 * Nothing of Veneer is changed by it.
 *
 * The control file, of which VENEER_FAULTS has the path, is an array of 32-bit numbers as faults.ts has them. It is read anew
 * at each call, so that all threads and the test see one count. What was called is appended to a file beside it.
 */
const { appendFileSync, openSync, readSync, writeSync } = require("node:fs");
const vm = require("node:vm");
const koffi = require("koffi");
const { refusalWithout } = require("./refusals.cjs");
const { functionName, isKnown, kindOf } = require("./system-calls.cjs");

const path = process.env.VENEER_FAULTS;
const Field = { mode: 0, at: 1, errno: 2, opens: 3, count: 4, fired: 5, nodes: 6 };
const Mode = { off: 0, count: 1, before: 2, after: 3, fail: 4 };
const words = new Int32Array(7);
const bytes = Buffer.from(words.buffer);
/** What the file system is to be without. */
const refusal = refusalWithout(process.env.VENEER_FAULTS_WITHOUT);
const control = path === undefined ? -1 : openSync(path, "r+");
let nodeTable;

function put(field, value) {
  words[field] = value;
  writeSync(control, bytes, field * 4, 4, field * 4);
}

function killSelf() {
  process.kill(process.pid, "SIGKILL");
}

/** Calls `real`, unless this is the call to fail or to die before. */
function intercept(kind, real, args) {
  readSync(control, bytes, 0, bytes.length, 0);
  const mode = words[Field.mode];
  if (mode === Mode.off || (kind === "open" && words[Field.opens] === 0)) {
    return real(...args);
  }
  put(Field.count, words[Field.count] + 1);
  put(Field.nodes, nodeTable?.size ?? -1);
  appendFileSync(`${path}.trace`, `${kind}\n`);
  if (words[Field.count] !== words[Field.at] || mode === Mode.count) {
    return real(...args);
  }
  put(Field.fired, 1);
  if (mode === Mode.before) {
    killSelf();
  }
  if (mode === Mode.fail) {
    koffi.errno(words[Field.errno]);
    return -1;
  }
  const result = real(...args);
  killSelf();
  return result;
}

function wrap(library) {
  return {
    func(prototype) {
      const real = library.func(prototype);
      const name = functionName(prototype);
      if (!isKnown(name)) {
        throw new Error(`the C function ${name} is not in test/crash/system-calls.cjs`);
      }
      const call = (...args) => {
        const kind = kindOf(name, args);
        const refused = kind === undefined ? 0 : refusal(kind, args);
        if (refused !== 0) {
          koffi.errno(refused);
          return -1;
        }
        return kind === undefined ? real(...args) : intercept(kind, real, args);
      };
      // Made aside by a thread that serves nothing.
      call.async = real.async;
      return call;
    },
  };
}

/** The core's table of nodes shows itself when it is first used. */
function watchNodes({ NodeTable }) {
  const get = NodeTable.prototype.get;
  NodeTable.prototype.get = function (id) {
    nodeTable = this;
    return get.call(this, id);
  };
}

/** Has the code of the daemon hand out its table, which nothing outside it could get at. */
function openTable() {
  globalThis.veneerWatchNodes = watchNodes;
  vm.Script = class extends vm.Script {
    constructor(source, options) {
      if (options?.filename?.endsWith("/daemon-process.js")) {
        super(source.replace(/\}\)\s*$/, "veneerWatchNodes({ NodeTable });\n})"), { filename: options.filename });
      } else {
        super(source, options);
      }
    }
  };
}

if (control !== -1) {
  // Veneer takes koffi's native part where it finds it, else koffi as a whole.
  const native = Object.values(require.cache).find((module) => module.filename.endsWith(".node")).exports;
  for (const part of [native, koffi]) {
    const { load } = part;
    part.load = (...args) => wrap(load(...args));
  }
  openTable();
}
