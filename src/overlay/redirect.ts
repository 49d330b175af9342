/**
 * Redirects: where the lower parts of a renamed directory lie, or the data of a renamed file that has none of its own
 * (metacopy). The xattr overlay.redirect on the upper (or on a middle lower) part names them, for the layers below: a name stands in the directory's parent, a path begins at the root of
 * each layer. Rules and limits are those of Linux overlayfs (fs/overlayfs/util.c, namei.c and dir.c).
 */
import type { Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import { readMark } from "../layer/marks.ts";
import type { DataSource, Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** A redirect as it is followed. */
export interface Redirect {
  /** From the root of each layer, not from the parts of the parent. */
  readonly absolute: boolean;
  /** One name unless absolute. */
  readonly names: readonly Name[];
}

/** Longer paths are not written (the parameter redirect_max of Linux): the rename answers EXDEV then. */
const longestRedirect = 256;

/** Whether redirects are followed. */
export function follows(overlay: Overlay): boolean {
  return overlay.features.redirect !== "nofollow";
}

/** @throws EINVAL for a value that is no redirect */
export function parseRedirect(value: Buffer): Redirect {
  // The kernel's is a C string.
  const text = value.toString("latin1").split("\0", 1)[0] as string;
  const absolute = text.startsWith("/");
  const names = (absolute ? text.slice(1) : text).split("/");
  if (value.length === 0 || (absolute ? names.includes("") : names.length > 1)) {
    throw new FsError(Errno.EINVAL, `an invalid redirect (${text})`);
  }
  return { absolute, names };
}

/**
 * Says on the upper part of a merged directory, or of a file without data, where its lower parts lie, before it is renamed.
 * While it still has its old name that says nothing new.
 * @param sameDirectory only its name is to change
 * @throws EXDEV where that can't be written: mv(1) makes a copy then
 */
export function setRedirect(overlay: Overlay, node: Node, sameDirectory: boolean): void {
  const { layer, path } = overlay.upperPlace(node);
  const present = readRedirect(overlay, node);
  if (present !== undefined && (sameDirectory || present.startsWith("/"))) {
    return;
  }
  const value = sameDirectory ? (node.link?.name as Name) : pathInLowers(overlay, node);
  if (value.length > longestRedirect) {
    throw new FsError(Errno.EXDEV, "a redirect would be too long");
  }
  try {
    layer.setXattr(path, overlay.marks.redirect, Buffer.from(value, "latin1"), 0);
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    throw new FsError(Errno.EXDEV, "a redirect can't be written", { cause: error });
  }
}

/**
 * Where a node lies in the lowers, from their roots: its path, but for the redirects on the way. Of the names of an indexed file, which
 * are one file there, the one with the shortest path; where none is known any more, the one that its data were found by.
 */
function pathInLowers(overlay: Overlay, node: Node): string {
  // The directories above an indexed file may be on lowers alone.
  const redirect = node.upper ? readRedirect(overlay, node) : undefined;
  if (redirect?.startsWith("/")) {
    return redirect;
  }
  const [first, ...others] = overlay.nodes
    .links(node)
    .map(({ parent, name }) => `${pathInLowers(overlay, parent)}/${redirect ?? name}`);
  if (first === undefined) {
    return node.data === undefined ? "" : pathOf(node.data);
  }
  return others.reduce((shortest, path) => (path.length < shortest.length ? path : shortest), first);
}

function pathOf(data: DataSource): string {
  return `/${data.kind === "found" ? data.place.path : data.names.join("/")}`;
}

function readRedirect(overlay: Overlay, node: Node): string | undefined {
  const { layer, path } = overlay.upperPlace(node);
  return readMark(layer, path, overlay.marks.redirect)?.toString("latin1");
}
