/** Entry of an I/O thread: the slow calls of sys, at the service of a FUSE session. */
import { serveJobs } from "./fuse/io-thread-loop.ts";
import { runJob } from "./sys/jobs.ts";

serveJobs(runJob);
