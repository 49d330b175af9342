/** What the composition root may choose about the transport. */
export interface FuseSettings {
  /** Seconds for which the kernel may trust a name that it found. */
  readonly entryTimeout: number;
  /** Seconds for which the kernel may trust attributes. */
  readonly attrTimeout: number;
  /** Seconds for which the kernel may trust that a name is absent. */
  readonly negativeTimeout: number;
  /** The largest WRITE and READ in bytes; a multiple of 4096. With its header it has to fit in a pipe. */
  readonly maxWrite: number;
  /** 32 bits in every file handle (name_to_handle_at) of the mount: those of an earlier mount, whose node ids are used anew, are stale. */
  readonly generation: number;
  /** Ask the kernel to read and write files by itself, where it can. */
  readonly passthrough: boolean;
  /** The most I/O threads that may run. */
  readonly ioThreads: number;
}

const year = 365 * 24 * 3600;

/** The mount owns its upper and its lowers don't change: the kernel may remember what it was told. */
export const defaultFuseSettings: FuseSettings = {
  entryTimeout: year,
  attrTimeout: year,
  negativeTimeout: year,
  maxWrite: 512 * 1024,
  generation: 0,
  passthrough: false,
  ioThreads: 4,
};
