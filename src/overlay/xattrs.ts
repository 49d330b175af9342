/** Extended attributes: those of the object that is shown, without the overlay's own marks. */
import { type Caller, FileType, type Name } from "../contract/ids.ts";
import { accessAclName, capabilityName, defaultAclName, isAcl } from "../contract/xattr-names.ts";
import { Errno, FsError } from "../errno.ts";
import { escapedXattr, readMark, visibleXattr } from "../layer/marks.ts";
import { copyUp } from "./copy-up.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { capabilitiesGone } from "./passthrough.ts";
import { requireChangeable } from "./protection.ts";

const setGid = 0o2000;

/** Undefined when there is none of that name. */
export function getXattr(overlay: Overlay, node: Node, name: Name): Buffer | undefined {
  if (name !== capabilityName) {
    return readXattr(overlay, node, name);
  }
  const value = node.hasNoCapability ? undefined : readXattr(overlay, node, name);
  node.hasNoCapability = value === undefined;
  return value;
}

function readXattr(overlay: Overlay, node: Node, name: Name): Buffer | undefined {
  const { layer, path } = overlay.place(node);
  // An ACL is what the kernel asks for to check permissions: where the file system has none it must hear that there is none.
  return isAcl(name) ? readMark(layer, path, name) : layer.getXattr(path, escapedXattr(overlay.marks, name));
}

/** The names that there are for the caller: those of trusted attributes are for root alone, as xattr(7) says. */
export function listXattrs(overlay: Overlay, node: Node, caller: Caller): Name[] {
  const { layer, path } = overlay.place(node);
  return layer
    .listXattrs(path)
    .map((name) => visibleXattr(overlay.marks, name))
    .filter((name) => name !== undefined)
    .filter((name) => caller.uid === 0 || !name.startsWith("trusted."));
}

/** @param killSetGid setting an access ACL is to take setgid away, as the caller is not of the file's group */
export function setXattr(
  overlay: Overlay,
  node: Node,
  name: Name,
  value: Buffer,
  flags: number,
  killSetGid: boolean,
): void {
  requireChangeable(overlay, node);
  copyUp(overlay, node);
  if (name === capabilityName) {
    node.hasNoCapability = false;
  }
  const { layer, path } = overlay.upperPlace(node);
  layer.setXattr(path, escapedXattr(overlay.marks, name), value, flags);
  if (killSetGid && name === accessAclName) {
    const { mode } = layer.stat(path);
    layer.chmod(path, mode & 0o7777 & ~setGid);
  }
  forgetDefaultAcl(node, name);
}

/** @throws ENODATA, without a copy-up, when there is none of that name */
export function removeXattr(overlay: Overlay, node: Node, name: Name): void {
  overlay.writable();
  requireChangeable(overlay, node);
  // Of an upper object the file system says it; removing an ACL that is not there is no error to it.
  const from = overlay.place(node);
  if (!node.upper && from.layer.getXattr(from.path, escapedXattr(overlay.marks, name)) === undefined) {
    throw new FsError(Errno.ENODATA, "no such xattr");
  }
  copyUp(overlay, node);
  const { layer, path } = overlay.upperPlace(node);
  layer.removeXattr(path, escapedXattr(overlay.marks, name));
  forgetDefaultAcl(node, name);
  if (name === capabilityName) {
    capabilitiesGone(node);
  }
}

/** The default ACL of a directory, which new objects in it inherit. */
export function defaultAcl(overlay: Overlay, directory: Node): Buffer | undefined {
  const state = directory.directory;
  if (state === undefined) {
    return undefined;
  }
  if (state.defaultAcl === undefined) {
    const { layer, path } = overlay.place(directory);
    state.defaultAcl = readMark(layer, path, defaultAclName) ?? null;
  }
  return state.defaultAcl ?? undefined;
}

function forgetDefaultAcl(node: Node, name: Name): void {
  if (name === defaultAclName && node.type === FileType.directory && node.directory !== undefined) {
    node.directory.defaultAcl = undefined;
  }
}
