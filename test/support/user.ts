/** A plain user, as himself and as root of a user namespace, with a place of his own and mounts that nobody else sees. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Agent, startAgent, startCalls } from "./agent.ts";
import { runOk } from "./programs.ts";
import { makeScratch, removeScratch } from "./scratch.ts";
import { type Described, describeTree, type Tree } from "./tree.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

export const user = { uid: 12345, gid: 12345 } as const;

/** As whom he works: by fusermount3 he mounts as himself. */
export type Standing = "user" | "root of a user namespace";

export class UserStand {
  readonly home: string;
  /** Works as him, where his mounts are. */
  readonly sys: Agent;
  /** Works as root of the machine, and sees none of his mounts. */
  readonly host: Agent;
  readonly #scratch: string;

  private constructor(scratch: string, home: string, sys: Agent) {
    this.#scratch = scratch;
    this.home = home;
    this.sys = sys;
    this.host = startAgent();
  }

  static async start(standing: Standing): Promise<UserStand> {
    const scratch = makeScratch();
    const at = (name: string): string => join(scratch, name);
    for (const directory of ["home", "repository", "bin"]) {
      mkdirSync(at(directory));
    }
    chownSync(at("home"), user.uid, user.gid);
    writeFileSync(at("bin/node"), "");
    // As most systems have it, whatever this one says.
    await runOk(["mknod", at("fuse"), "c", "10", "229"]);
    chmodSync(at("fuse"), 0o666);
    // fusermount3 wants users to have a name.
    const entry = `veneer-test:x:${user.uid}:${user.gid}::${at("home")}:/bin/sh\n`;
    writeFileSync(at("passwd"), readFileSync("/etc/passwd", "latin1") + entry, "latin1");
    const binds = [
      [at("fuse"), "/dev/fuse"],
      [at("passwd"), "/etc/passwd"],
      // They may lie where he can't go, in root's home say.
      [repository, at("repository")],
      [process.execPath, at("bin/node")],
    ].map(([from, to]) => `mount --bind '${from}' '${to}'`);
    const ids = `--reuid ${user.uid} --regid ${user.gid} --clear-groups --inh-caps=-all`;
    const fork = standing === "user" ? "" : "unshare --user --map-root-user --mount --propagation private --";
    const line = `${binds.join(" && ")} && PATH=${at("bin")}:$PATH exec setpriv ${ids} ${fork} "$@"`;
    const before = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", line, "sh"];
    const sys = startCalls<Agent>(at("repository/test/support/agent.py"), 30_000, before);
    return new UserStand(scratch, at("home"), sys);
  }

  /** The program to test, where he can reach it. */
  get veneer(): string {
    return process.env.VENEER_TEST_BIN ?? join(this.#scratch, "repository/bin/veneer");
  }

  /** A path in his place, absolute. */
  at(...names: string[]): string {
    return join(this.home, ...names);
  }

  /** A directory in his place with this tree, all of it his. */
  async build(name: string, tree: Tree | Described): Promise<void> {
    await this.host.mkdir(this.at(name));
    await this.host.build(this.at(name), describeTree(tree));
    await runOk(["chown", "--recursive", "--no-dereference", `${user.uid}:${user.gid}`, this.at(name)]);
  }

  /** Runs a program as him, which has to end well. */
  async run(...argv: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.sys.run(argv, { cwd: this.home, timeout: 25 });
    if (status !== 0) {
      throw new Error(`${argv.join(" ")}: status ${status}: ${stderr}`);
    }
    return stdout;
  }

  /** His mounts go with his last process: they have to be unmounted before. */
  async end(): Promise<void> {
    await Promise.all([this.sys.end(), this.host.end()]);
    const complaints = existsSync(this.#scratch) ? await removeScratch(this.#scratch) : [];
    if (complaints.length > 0) {
      throw new Error(complaints.join("\n"));
    }
  }
}
