import { expect, test } from "vitest";
import { encodeInvalidateAttributes, encodeInvalidatePages, encodeStore, storeSize } from "./notify.ts";
import { ReplyWriter } from "./reply-writer.ts";

const writer = new ReplyWriter(Buffer.alloc(storeSize(3)));

function hex(encode: () => void): string {
  encode();
  return writer.bytes.subarray(0, writer.length).toString("hex");
}

/* Laid out by hand after struct fuse_out_header, fuse_notify_inval_inode_out and fuse_notify_store_out of linux/fuse.h. */
test("NOTIFY_INVAL_INODE", () => {
  const head = "28000000" + "02000000" + "0000000000000000" + "0700000000000000";
  expect(hex(() => encodeInvalidateAttributes(7, writer))).toBe(`${head}ffffffffffffffff0000000000000000`);
  expect(hex(() => encodeInvalidatePages(7, writer))).toBe(`${head}00000000000000000000000000000000`);
});

test("NOTIFY_STORE", () => {
  expect(hex(() => encodeStore(7, Buffer.from("abc"), writer))).toBe(
    "2b000000" +
      "04000000" +
      "0000000000000000" +
      "0700000000000000" +
      "0000000000000000" +
      "03000000" +
      "00000000" +
      "616263",
  );
});
