/** File systems that lack something, for fault-points.cjs: which calls they refuse. */
const koffi = require("koffi");

const [EPERM, EINVAL, EOPNOTSUPP] = [1, 22, 95];
const RENAME_WHITEOUT = 4;
const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

function refuseRenameWhiteout(kind, args) {
  return kind === "renameat2" && (args[4] & RENAME_WHITEOUT) !== 0 ? EINVAL : 0;
}

/** As an overlay in which the upper lies would. */
function refuseDevices(kind, args) {
  const isWhiteout = kind === "mknodat" && (args[3] & S_IFMT) === S_IFCHR && args[4] === 0;
  return isWhiteout ? EPERM : refuseRenameWhiteout(kind, args);
}

function refuseMarks(kind, args) {
  const name = kind === "setxattrat" ? args[4] : ["setxattr", "lsetxattr"].includes(kind) ? args[1] : undefined;
  const isMark = name !== undefined && koffi.decode(BigInt(name), "char", -1).startsWith("trusted.overlay.");
  return isMark ? EOPNOTSUPP : refuseDevices(kind, args);
}

const refusals = new Map([
  ["nothing", () => 0],
  ["RENAME_WHITEOUT", refuseRenameWhiteout],
  ["whiteout devices", refuseDevices],
  ["whiteout devices and marks", refuseMarks],
]);

/** @returns a function of a call's kind and arguments: the errno that it is refused with, or 0 */
function refusalWithout(lacking = "nothing") {
  const refusal = refusals.get(lacking);
  if (refusal === undefined) {
    throw new Error(`VENEER_FAULTS_WITHOUT: ${lacking} is not known`);
  }
  return refusal;
}

module.exports = { refusalWithout };
