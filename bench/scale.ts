/** Sizes of what is worked on. */
import type { FileSystemSizes } from "./area.ts";

export interface Scale {
  readonly fileSystems: FileSystemSizes;
  /** Of the file whose data are read and written. */
  readonly bigMegabytes: number;
  /** Of the file that is copied up for one write. */
  readonly hugeMegabytes: number;
  readonly sourceFiles: number;
  /** In one directory, and names asked for in vain. */
  readonly files: number;
  /** Of the walk that shows what a known file costs. */
  readonly knownFiles: number;
  readonly copyUps: number;
  readonly appends: number;
  readonly randomReads: number;
  readonly randomWrites: number;
  readonly pythonStarts: number;
  readonly packages: number;
  readonly layers: number;
}

/** Worth comparing. */
export const fullScale: Scale = {
  fileSystems: { ext4: 5120, xfs: 3072, btrfs: 3072 },
  bigMegabytes: 256,
  hugeMegabytes: 1024,
  sourceFiles: 7000,
  files: 3000,
  knownFiles: 100_000,
  copyUps: 1000,
  appends: 20_000,
  randomReads: 100_000,
  randomWrites: 40_000,
  pythonStarts: 5,
  packages: 40,
  layers: 60,
};

/** Shows that everything runs. */
export const smokeScale: Scale = {
  fileSystems: { ext4: 512, xfs: 320, btrfs: 320 },
  bigMegabytes: 4,
  hugeMegabytes: 8,
  sourceFiles: 120,
  files: 50,
  knownFiles: 1000,
  copyUps: 20,
  appends: 100,
  randomReads: 200,
  randomWrites: 200,
  pythonStarts: 1,
  packages: 2,
  layers: 6,
};
