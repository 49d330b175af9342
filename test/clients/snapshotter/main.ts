/**
 * A snapshotter for containerd that has Veneer mount its snapshots: the service of a proxy plugin, on a socket.
 *
 * usage: node main.cjs PROTO SOCKET ROOT TYPE    PROTO: snapshots.proto; TYPE: that of the mounts. Says "ready" when it is.
 */
import { type handleUnaryCall, loadPackageDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type Info, type Labels, type Mount, Snapshots } from "./snapshots.ts";

interface NewSnapshot {
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

const [proto = "", socket = "", root = "", type = ""] = process.argv.slice(2);
const snapshots = new Snapshots(root, type);

/** A method of one request and one answer; what `answer` throws is what the caller gets. */
function method<Request, Response>(answer: (request: Request) => Response): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    let response: Response;
    try {
      response = answer(call.request);
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback(null, response);
  };
}

const create = (kind: "VIEW" | "ACTIVE") =>
  method((request: NewSnapshot): { mounts: readonly Mount[] } => ({
    mounts: snapshots.create(kind, request.key, request.parent, request.labels),
  }));

function update(request: { info: Info; update_mask: { paths: string[] } | null }): { info: Info } {
  const { name, labels } = request.info;
  const one = (request.update_mask?.paths ?? []).flatMap((path) => /^labels\.(.*)$/s.exec(path)?.[1] ?? []);
  const some = Object.fromEntries(one.map((key) => [key, labels[key] ?? ""]));
  return { info: snapshots.relabel(name, one.length > 0 ? { ...snapshots.info(name).labels, ...some } : labels) };
}

const implementation = {
  Prepare: create("ACTIVE"),
  View: create("VIEW"),
  Mounts: method((request: { key: string }) => ({ mounts: snapshots.mounts(request.key) })),
  Commit: method((request: { name: string; key: string; labels: Labels }) => {
    snapshots.commit(request.name, request.key, request.labels);
    return {};
  }),
  Remove: method((request: { key: string }) => {
    snapshots.remove(request.key);
    return {};
  }),
  Stat: method((request: { key: string }) => ({ info: snapshots.info(request.key) })),
  Update: method(update),
  List: (call: { write(listed: { info: readonly Info[] }): void; end(): void }) => {
    call.write({ info: snapshots.list() });
    call.end();
  },
  Usage: method((request: { key: string }) => snapshots.usage(request.key)),
  Cleanup: method(() => ({})),
};

const loaded = loadPackageDefinition(loadSync(proto, { keepCase: true, enums: String, defaults: true, longs: Number }));
// biome-ignore lint/suspicious/noExplicitAny: what is loaded from a .proto has no types.
const service = (loaded as any).containerd.services.snapshots.v1.Snapshots.service;
const server = new Server();
server.addService(service, implementation);
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) {
    throw error;
  }
  process.stdout.write("ready\n");
});
