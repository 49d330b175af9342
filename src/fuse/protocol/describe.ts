/** What a debug line says of a request or a reply: all of its fields, with data only counted. */
import { errnoName } from "../../errno.ts";
import type { ReplyAddress } from "./reply-writer.ts";
import type { RequestReader } from "./request-reader.ts";

/** Fields of the `rx` line. @param body the decoded body */
export function describeRequest(name: string, request: RequestReader, body: unknown): object {
  return { op: name, unique: request.key, node: request.node, caller: request.caller, body: describeValue(body) };
}

/** Fields of the `tx` line. @param errno 0 if all went well; then `body` is the reply before its encoding */
export function describeReply(name: string, address: ReplyAddress, errno: number, body: unknown): object {
  const unique = address.uniqueHigh * 4294967296 + address.uniqueLow;
  return errno === 0 ? { op: name, unique, body: describeValue(body) } : { op: name, unique, error: errnoName(errno) };
}

function describeValue(value: unknown): unknown {
  if (Buffer.isBuffer(value)) {
    return `${value.length} bytes`;
  }
  if (Array.isArray(value)) {
    return value.map(describeValue);
  }
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, describeValue(field)]));
  }
  return value;
}
