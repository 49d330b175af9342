/**
 * What a handle of an open file says by itself, so that its pages can be read and written where nothing else is known: the
 * number of its file's descriptor, which stays the same as long as a handle is open, and what kind of handle it is. Handles of
 * one file and kind are equal.
 */
import type { HandleId } from "./ids.ts";

export const HandleKind = {
  /** Its data go through pages that the kernel caches, which it asks for. */
  paged: 1,
  /** It was opened for writing when its file was append-only. */
  appending: 2,
} as const;

const kinds = 4;

/** @param kind HandleKind bits */
export function makeHandle(descriptor: number, kind: number): HandleId {
  return descriptor * kinds + kind;
}

/** The descriptor of a handle's file. */
export function descriptorOf(handle: HandleId): number {
  return Math.floor(handle / kinds);
}

/** Whether a handle has all these HandleKind bits. */
export function isOfKind(handle: HandleId, kind: number): boolean {
  return ((handle % kinds) & kind) === kind;
}
