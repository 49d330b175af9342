/** All workloads, in the order of the tables. */
import type { Workload } from "./workload.ts";
import { changing } from "./workloads-changing.ts";
import { data } from "./workloads-data.ts";
import { manyLayers, reading } from "./workloads-reading.ts";

export const workloads: readonly Workload[] = [...reading, ...data, ...changing, ...manyLayers];
