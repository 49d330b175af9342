/** Why a mount or an unmount did not come about, in a sentence for whoever asked for it. */

export type MountErrorKind =
  | "usage"
  | "layer"
  | "in-use"
  | "mountpoint"
  | "permission"
  | "device"
  | "refused"
  | "unmount"
  | "internal";

export class MountError extends Error {
  readonly kind: MountErrorKind;

  /** @param sentence what is wrong and what to do, without a full stop */
  constructor(kind: MountErrorKind, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.name = "MountError";
    this.kind = kind;
  }
}
