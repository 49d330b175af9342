/** What an overlay is made of beside its layers, where a test of its parts is not about that. */
import type { OverlayOptions } from "../../src/overlay/overlay.ts";

const ignore = () => undefined;

/** Root's, with the defaults of the kernel's overlayfs, and without anybody who hears of anything. */
export const plainOverlay: Omit<OverlayOptions, "upper" | "work" | "lowers"> = {
  fsync: "auto",
  dataLowers: [],
  features: { redirect: "nofollow", index: false, metacopy: false, xino: "auto", uuid: "null" },
  self: { uid: 0, gid: 0 },
  inheritsAcls: true,
  userXattr: false,
  log: { debugEnabled: false, debug: ignore, info: ignore, warn: ignore, error: ignore },
  jobs: {
    start: () => {
      throw new Error("no slow call was expected");
    },
  },
  releaseMemory: ignore,
  notifier: { attributesChanged: ignore, listingChanged: ignore, dataRead: ignore },
  passthrough: "off",
  backing: { open: ignore, close: ignore },
};
