/**
 * Which files the kernel reads and writes by itself, and what that forbids. All handles of a node that are open at a time
 * are of one kind, as the kernel demands it: what the first was decides for those that come while one is open.
 */

import type { Caller } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import { killSetIds } from "./metadata.ts";
import type { Backing, Node } from "./node.ts";
import { OpenFlag } from "./open-flags.ts";
import type { Overlay } from "./overlay.ts";
import { Protection, protection } from "./protection.ts";

const setIdBits = 0o6000;

/**
 * For the first handle of a node, which is opened with these flags: the file it is passed through to, or undefined where the
 * kernel is to ask.
 * @param mode of the file, where it is known
 */
export function backingFor(
  overlay: Overlay,
  node: Node,
  file: LayerFile,
  flags: number,
  mode: number | undefined,
): Backing | undefined {
  if (overlay.passthrough === "off" || !file.passable || (overlay.volatile && (flags & OpenFlag.sync) !== 0)) {
    return undefined;
  }
  const ofLower = !node.upper || node.data !== undefined;
  const wanted = ofLower
    ? overlay.passthrough === "all" || overlay.upper === undefined
    : isOrdinary(overlay, node, mode ?? file.stat().mode);
  const id = wanted ? overlay.backing.open(file.fd) : undefined;
  return id === undefined ? undefined : { id, ofLower };
}

/**
 * Whether nothing of an upper file has to be seen to at each write: an append-only file could be overwritten by a shared
 * mapping; and what is to become of set-id bits is not told as exactly as with other writes.
 */
function isOrdinary(overlay: Overlay, node: Node, mode: number): boolean {
  return (mode & setIdBits) === 0 && (protection(overlay, node) & Protection.append) === 0;
}

/**
 * The data of a file that is passed through to a lower must stay what they are there, as its handles can't be turned to the
 * upper: it is like a program that runs. @throws ETXTBSY
 */
export function requireDataFree(node: Node): void {
  if (backingOf(node)?.ofLower === true) {
    throw new FsError(Errno.ETXTBSY, "a file of a lower is open in passthrough");
  }
}

/** The capabilities of a file are gone, by a write perhaps, which `announceWrite` tells of next. */
export function capabilitiesGone(node: Node): void {
  if (node.open !== undefined) {
    node.open.lacksCapabilities = true;
  }
}

/**
 * A write is going to come, by somebody who may not keep set-id bits: none but this tells of one in passthrough. Where it took
 * capabilities too, it may be a write by somebody who may: root is taken to be one, and nobody else.
 */
export function announceWrite(overlay: Overlay, node: Node, caller: Caller): void {
  const { open } = node;
  if (backingOf(node)?.ofLower !== false || open?.file.writable !== true) {
    return;
  }
  const mayKeep = open.lacksCapabilities && caller.uid === 0;
  open.lacksCapabilities = false;
  if (!mayKeep) {
    killSetIds(overlay.upperPlace(node));
  }
}

function backingOf(node: Node): Backing | undefined {
  const backing = node.open?.backing;
  return backing === "undecided" ? undefined : backing;
}
