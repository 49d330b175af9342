/** INIT: what the kernel offers, what is taken of it, and what follows for the encoding of all that comes later. */
import { Errno, FsError } from "../../errno.ts";
import type { FuseSettings } from "../settings.ts";
import { InitFlag, InitFlag2 } from "./flags.ts";
import type { ReplyWriter } from "./reply-writer.ts";
import type { RequestReader } from "./request-reader.ts";

export const protocolMajor = 7;
const newestMinor = 45;
const oldestMinor = 31;
const initOutSize = 64;
const pageSize = 4096;

export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
}

/** A timeout as replies carry it. */
export interface WireTimeout {
  readonly sec: number;
  readonly nsec: number;
}

/** What both sides agreed on. */
export interface Connection {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxReadahead: number;
  readonly maxWrite: number;
  /** Of every entry. */
  readonly generation: number;
  /** SETXATTR comes with the longer struct (7.33). */
  readonly setxattrExtended: boolean;
  readonly entryTimeout: WireTimeout;
  readonly attrTimeout: WireTimeout;
  readonly negativeTimeout: WireTimeout;
}

/** struct fuse_init_in; `flags2` came with 7.36, where INIT_EXT says so. */
export function decodeInit(request: RequestReader): InitRequest {
  request.need(16);
  const flags = request.u32(12);
  const extended = (flags & InitFlag.initExtended) !== 0;
  if (extended) {
    request.need(20);
  }
  return {
    major: request.u32(0),
    minor: request.u32(4),
    maxReadahead: request.u32(8),
    flags,
    flags2: extended ? request.u32(16) : 0,
  };
}

const wanted =
  InitFlag.asyncRead |
  InitFlag.atomicTruncate |
  InitFlag.bigWrites |
  InitFlag.dontMask |
  InitFlag.doReaddirplus |
  InitFlag.parallelDirectoryOperations |
  InitFlag.posixAcl |
  InitFlag.maxPages |
  InitFlag.cacheSymlinks |
  InitFlag.noOpendirSupport |
  InitFlag.handleKillPrivV2 |
  InitFlag.setxattrExtended |
  InitFlag.initExtended;

/**
 * Takes of the kernel's offer what this transport knows how to honour.
 * Throws EPROTO where the kernel is older than 7.31 (Linux 5.4).
 */
export function negotiate(offer: InitRequest, settings: FuseSettings): Connection {
  if (offer.major < protocolMajor || offer.minor < oldestMinor) {
    throw new FsError(Errno.EPROTO, `the kernel speaks FUSE ${offer.major}.${offer.minor}, 7.${oldestMinor} is needed`);
  }
  /* Every write passes through the kernel's own pages, so nothing outdates them; dropping them at each new mtime, as
     AUTO_INVAL_DATA does, would cost a re-read after each append. A finite timeout says that layers may change underneath. */
  const invalidation =
    settings.attrTimeout >= yearSeconds ? InitFlag.explicitInvalidateData : InitFlag.autoInvalidateData;
  const flags = offer.flags & (wanted | invalidation);
  const flags2 = settings.passthrough ? offer.flags2 & InitFlag2.passthrough : 0;
  return {
    minor: Math.min(offer.minor, newestMinor),
    flags,
    flags2,
    maxReadahead: offer.maxReadahead,
    maxWrite: settings.maxWrite,
    generation: settings.generation,
    setxattrExtended: (flags & InitFlag.setxattrExtended) !== 0,
    entryTimeout: wireTimeout(settings.entryTimeout),
    attrTimeout: wireTimeout(settings.attrTimeout),
    negativeTimeout: wireTimeout(settings.negativeTimeout),
  };
}

const yearSeconds = 365 * 24 * 3600;

/** Requests that the kernel may have under way without a caller waiting (readahead); beyond it reads become synchronous. */
const maxBackground = 64;
const congestionThreshold = 48;
/** How many file systems may lie one over the other at most when files are passed through, this one included: one beneath, which is no stack itself. */
const maxStackDepth = 1;

/** struct fuse_init_out, of 64 bytes since 7.23. */
export function encodeInit(connection: Connection, reply: ReplyWriter): void {
  reply.zero(0, initOutSize);
  reply.u32(0, protocolMajor);
  reply.u32(4, connection.minor);
  reply.u32(8, connection.maxReadahead);
  reply.u32(12, connection.flags);
  reply.u16(16, maxBackground);
  reply.u16(18, congestionThreshold);
  reply.u32(20, connection.maxWrite);
  reply.u32(24, 1); // time_gran: nanoseconds
  reply.u16(28, connection.maxWrite / pageSize);
  if (passesThrough(connection)) {
    reply.u32(32, connection.flags2);
    reply.u32(36, maxStackDepth);
  }
  reply.setBodyLength(initOutSize);
}

/** Whether the kernel takes files to read and write by itself. */
export function passesThrough(connection: Connection): boolean {
  return (connection.flags2 & InitFlag2.passthrough) !== 0;
}

/** The answer to a kernel of a newer major protocol: it then sends INIT again, in ours. */
export function encodeInitMajorOnly(reply: ReplyWriter): void {
  reply.zero(0, initOutSize);
  reply.u32(0, protocolMajor);
  reply.u32(4, newestMinor);
  reply.setBodyLength(initOutSize);
}

/** @param seconds not negative, fractions allowed */
export function wireTimeout(seconds: number): WireTimeout {
  const sec = Math.floor(seconds);
  return { sec, nsec: Math.min(999_999_999, Math.round((seconds - sec) * 1e9)) };
}
