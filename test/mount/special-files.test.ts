/** FIFOs, sockets and device nodes: not only shown, but used. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { device, fifo, socket } from "../support/tree.ts";

describeOverlay("special files", (overlay) => {
  test.each(["lower", "upper", "new"])("a FIFO (%s) passes data between processes", async (place) => {
    const tree = { p: fifo({ mode: 0o666 }) };
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    if (place === "new") {
      await m.sys.mknod(`${m.mnt}/p`, "fifo", 0o666);
    }
    const other = await overlay.agent();
    const [reader, writer] = await Promise.all([
      m.sys.open(`${m.mnt}/p`, "O_RDONLY"),
      other.open(`${m.mnt}/p`, "O_WRONLY"),
    ]);
    await other.write(writer, "through the pipe");
    expect(await m.sys.read(reader, 100)).toBe("through the pipe");
    await other.close(writer);
    expect(await m.sys.read(reader, 100)).toBe("");
    await refuses("ESPIPE", m.sys.lseek(reader, 0, "SEEK_CUR"));
    expect((await m.sys.stat(reader)).type).toBe("fifo");
    // A FIFO's data is no part of the file system: nothing is copied up for it.
    expect(await m.namesInUpper()).toEqual(place === "lower" ? [] : ["p"]);
  });

  test("opening a FIFO without waiting", async () => {
    const m = await overlay.mount({ lowers: [{ p: fifo() }] });
    await refuses("ENXIO", m.sys.open(`${m.mnt}/p`, "O_WRONLY|O_NONBLOCK"));
    const fd = await m.sys.open(`${m.mnt}/p`, "O_RDONLY|O_NONBLOCK");
    expect(await m.sys.read(fd, 10)).toBe("");
    const both = await m.sys.open(`${m.mnt}/p`, "O_RDWR|O_NONBLOCK");
    await m.sys.write(both, "x");
    expect(await m.sys.poll(fd, "POLLIN", 1000)).toBe(true);
  });

  test("a socket is bound, connected to, and removed", async () => {
    const m = await overlay.mount({ lowers: [{ stale: socket({ mode: 0o777 }) }] });
    const other = await overlay.agent();
    const server = await m.sys.listen(`${m.mnt}/s`);
    expect((await overlay.host.lstat(`${m.upper}/s`)).type).toBe("socket");
    const [connection, client] = await Promise.all([m.sys.accept(server), other.connect(`${m.mnt}/s`)]);
    await other.write(client, "hello");
    expect(await m.sys.read(connection, 100)).toBe("hello");
    await refuses("EADDRINUSE", other.listen(`${m.mnt}/s`));
    await refuses("ECONNREFUSED", other.connect(`${m.mnt}/stale`));
    await refuses("ENXIO", other.open(`${m.mnt}/s`, "O_RDWR"));
    await m.sys.unlink(`${m.mnt}/s`);
    await refuses("ENOENT", other.connect(`${m.mnt}/s`));
  });

  test.each(["lower", "new"])("a device node (%s) works", async (place) => {
    const devices = { null: device("char", 1, 3, { mode: 0o666 }), zero: device("char", 1, 5, { mode: 0o666 }) };
    const m = await overlay.mount({ lowers: [place === "lower" ? devices : {}] });
    if (place === "new") {
      await m.sys.umask(0);
      await m.sys.mknod(`${m.mnt}/null`, "char", 0o666, 1, 3);
      await m.sys.mknod(`${m.mnt}/zero`, "char", 0o666, 1, 5);
    }
    expect(await m.sys.lstat(`${m.mnt}/null`)).toMatchObject({ type: "char", rdev: "1:3", mode: 0o666 });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const sink = await user.open(`${m.mnt}/null`, "O_RDWR");
    expect(await user.write(sink, "gone")).toBe(4);
    expect(await user.read(sink, 10)).toBe("");
    expect(await user.read(await user.open(`${m.mnt}/zero`, "O_RDONLY"), 3)).toBe("\0\0\0");
    expect(await m.namesInUpper()).toEqual(place === "lower" ? [] : ["null", "zero"]);
  });

  test("nodev: device nodes are shown and made, but not opened", async () => {
    const m = await overlay.mount({ lowers: [{ null: device("char", 1, 3, { mode: 0o666 }) }], options: ["nodev"] });
    await refuses("EACCES", m.sys.open(`${m.mnt}/null`, "O_RDWR"));
    await m.sys.mknod(`${m.mnt}/new`, "char", 0o600, 1, 3);
    await refuses("EACCES", m.sys.open(`${m.mnt}/new`, "O_RDWR"));
  });

  test("numbers of devices are kept whole: large majors and minors, block devices", async () => {
    const numbers = [
      [0, 1],
      [8, 17],
      [255, 255],
      [256, 256],
      [4095, 1_048_575],
    ] as const;
    const tree = Object.fromEntries(
      numbers.map(([major, minor], index) => [`l${index}`, device("block", major, minor)]),
    );
    const m = await overlay.mount({ lowers: [tree] });
    for (const [index, [major, minor]] of numbers.entries()) {
      await m.sys.mknod(`${m.mnt}/n${index}`, "char", 0o600, major, minor);
      expect((await m.sys.lstat(`${m.mnt}/l${index}`)).rdev).toBe(`${major}:${minor}`);
      expect((await m.sys.lstat(`${m.mnt}/n${index}`)).rdev).toBe(`${major}:${minor}`);
      expect((await overlay.host.lstat(`${m.upper}/n${index}`)).rdev).toBe(`${major}:${minor}`);
    }
  });

  test("mknod makes regular files; 0:0 is the overlay's own; users make no devices", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    await m.sys.chmod(m.mnt, 0o777);
    await m.sys.mknod(`${m.mnt}/f`, "file", 0o640);
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ type: "file", mode: 0o640, size: 0 });
    await refuses("EPERM", m.sys.mknod(`${m.mnt}/w`, "char", 0o600, 0, 0));
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await refuses("EPERM", user.mknod(`${m.mnt}/c`, "char", 0o600, 1, 3));
    await user.mknod(`${m.mnt}/p`, "fifo", 0o600);
    expect(await m.sys.lstat(`${m.mnt}/p`)).toMatchObject({ type: "fifo", uid: 1000, gid: 1000 });
    expect(await m.sys.list(m.mnt)).toEqual(["f", "p"]);
  });
});
