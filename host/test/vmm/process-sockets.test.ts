import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, rm } from "node:fs/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { holdsListener, listenersAt } from "../../src/vmm/process-sockets.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000012345678: 00000002 00000000 00010000 0001 01 20001 /run/1/qmp.sock
0000000012345679: 00000003 00000000 00000000 0001 03 20002 /run/1/qmp.sock
000000001234567a: 00000002 00000000 00010000 0001 01 20003 /run/1/qmp.sock2
000000001234567b: 00000002 00000000 00010000 0001 01 20004 /chroot/run/1/qmp.sock
000000001234567c: 00000002 00000000 00010000 0001 01   205 /run/a b
c/qmp.sock
000000001234567d: 00000002 00000000 00010000 0005 01 20006 /run/1/qmp.sock
000000001234567e: 00000003 00000000 00000000 0001 03 20007
000000001234567f: 00000002 00000000 00010000 0001 01 20008 @/run/1/qmp.sock
`;

describe("listenersAt", () => {
  it("finds those that listen at exactly this path", () => {
    expect(listenersAt("/run/1/qmp.sock", table)).toEqual(["20001", "20006"]);
    expect(listenersAt("/run/1/qmp.sock2", table)).toEqual(["20003"]);
    expect(listenersAt("/run/1", table)).toEqual([]);
    expect(listenersAt("", table)).toEqual([]);
  });

  it("reads a path with spaces and line breaks", () => {
    expect(listenersAt("/run/a b\nc/qmp.sock", table)).toEqual(["205"]);
    expect(listenersAt("c/qmp.sock", table)).toEqual([]);
  });

  it("finds nothing in nothing", () => {
    expect(listenersAt("/run/1/qmp.sock", "")).toEqual([]);
  });
});

const listen = `require("node:net").createServer(() => {})
  .listen(process.argv[1], () => console.log("ready"));`;
const idle = `console.log("ready"); setInterval(() => {}, 1000);`;

/** A process of Node.js that has said that it is ready. */
async function start(
  script: string,
  args: readonly string[],
  [program = process.execPath, ...before]: readonly string[] = [],
  user: { uid?: number } = {},
): Promise<number> {
  const child = spawn(program, [...before, "-e", script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: "/",
    ...user,
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child.stdout, "data");
  if (child.pid === undefined) throw new Error("no process");
  return child.pid;
}

describe("holdsListener", () => {
  it("tells who listens from who does not, also with the same arguments", async () => {
    const path = `${await temporaryDirectory()}/a b.sock`;
    const holder = await start(listen, [path]);
    const other = await start(idle, [path]);
    expect(await holdsListener(holder, path)).toBe(true);
    expect(await holdsListener(other, path)).toBe(false);
    expect(await holdsListener(holder, `${path}2`)).toBe(false);
  });

  it("counts a socket whose file is gone", async () => {
    const path = `${await temporaryDirectory()}/a.sock`;
    const holder = await start(listen, [path]);
    await rm(path);
    expect(await holdsListener(holder, path)).toBe(true);
  });

  it("does not count a client of the socket", async () => {
    const path = `${await temporaryDirectory()}/a.sock`;
    await start(listen, [path]);
    const connect = `require("node:net").connect(process.argv[1], () => console.log("ready"));`;
    const client = await start(connect, [path]);
    expect(await holdsListener(client, path)).toBe(false);
  });

  it("knows no process that has ended", async () => {
    expect(await holdsListener(2 ** 31, "/run/1/qmp.sock")).toBe(false);
  });

  it("looks into the network namespace of the process", async () => {
    const path = `${await temporaryDirectory()}/a.sock`;
    const unshare = ["/usr/bin/unshare", "--user", "--map-root-user", "--net"];
    const holder = await start(listen, [path], [...unshare, process.execPath]);
    expect(await holdsListener(holder, path)).toBe(true);
  });

  it("believes a program of ours whose descriptors the kernel hides", async () => {
    const directory = await temporaryDirectory();
    const program = `${directory}/node`;
    await copyFile(process.execPath, program);
    // Who may run a program but not read it may not look into its processes either.
    await chmod(program, 0o111);
    await chmod(directory, 0o777);
    const path = `${directory}/a.sock`;
    const asRoot = process.getuid?.() === 0;
    const user = asRoot ? { uid: 65534 } : {};
    const holder = await start(listen, [path], [program], user);
    if (asRoot) process.seteuid?.(65534);
    try {
      expect(await holdsListener(holder, path)).toBe(true);
      expect(await holdsListener(holder, `${path}2`)).toBe(false);
    } finally {
      if (asRoot) process.seteuid?.(0);
    }
  });
});
