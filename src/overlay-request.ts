/** What an overlay is made of by `makeOverlay`. Types only. */
import type { Features, PassthroughMode, SyncMode, XattrPermissions } from "./contract/features.ts";
import type { Presentation } from "./contract/presentation.ts";
import type { LayerTraits } from "./layer/directory-layer.ts";

/** Layers by their open descriptors, and what is to be made of them. */
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

export interface LayerDescriptor {
  readonly fd: number;
  readonly traits: LayerTraits;
}
