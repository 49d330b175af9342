/** What the main thread and the serving thread of a mount tell each other. Types only. */
import type { Features, PassthroughMode, SyncMode, XattrPermissions } from "./contract/features.ts";
import type { Presentation } from "./contract/presentation.ts";
import type { FuseSettings } from "./fuse/settings.ts";
import type { LayerTraits } from "./layer/directory-layer.ts";

/** What an overlay is made of. Descriptors are the process's, so numbers suffice. */
export interface OverlayRequest {
  /** Topmost first. */
  readonly lowers: readonly LayerDescriptor[];
  readonly dataLowers: readonly LayerDescriptor[];
  readonly upper: LayerDescriptor | undefined;
  readonly work: LayerDescriptor | undefined;
  readonly features: Features;
  readonly fsync: SyncMode;
  readonly userXattr: boolean;
  readonly xattrPermissions: XattrPermissions;
  /** Undefined: everything is shown as it is stored. */
  readonly presentation: Presentation | undefined;
  readonly passthrough: PassthroughMode;
}

/** From the main thread, once: all that there is to serve. */
export interface ServeRequest extends OverlayRequest {
  readonly device: number;
  readonly settings: FuseSettings;
  readonly debug: boolean;
  /** Of the standby on the main thread, which posts each request that it has kept for the core, as bytes. */
  readonly turn: SharedArrayBuffer;
  /** One Int32: lines for the log that are under way to the main thread. */
  readonly logBacklog: SharedArrayBuffer;
}

export interface LayerDescriptor {
  readonly fd: number;
  readonly traits: LayerTraits;
}

export type LogLevelName = "debug" | "info" | "warn" | "error";

export type ServeMessage =
  /** The kernel's INIT was answered. */
  | { readonly kind: "ready" }
  /** A line for the log; an error among the fields has become its stack. */
  | { readonly kind: "log"; readonly level: LogLevelName; readonly fields: object; readonly message: string }
  /** Nothing is served any more, or never was. */
  | { readonly kind: "failed"; readonly code: number | undefined; readonly what: string };
