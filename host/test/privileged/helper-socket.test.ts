import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  rename,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { hasErrorCode } from "../../src/files/error-code.js";
import {
  foreignId,
  helperAt,
  isRoot,
  lineOf,
  noWaits,
  ownerId,
  send,
  socketPlace,
  waitRequest,
} from "./helper-bench.js";

const hello = lineOf("test.echo", { text: "hello" });
const answered = { ok: true, output: { text: "hello" } };

/** A socket that a killed process has left. */
async function leaveStaleSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { mode: 0o711 });
  const listen = `require("node:net").createServer().listen(process.argv[1], () => console.log("listening"))`;
  const child = spawn(process.execPath, ["-e", listen, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  expect((await lstat(path)).isSocket()).toBe(true);
}

describe.runIf(isRoot)("the socket of the root helper", () => {
  it("is the owner's alone whenever it is there, in a directory that root alone changes", async () => {
    const path = await socketPlace();
    const { server } = helperAt(path);
    const seen = new Set<string>();
    const done = new AbortController();
    const watching = (async () => {
      while (!done.signal.aborted) {
        try {
          const { uid, gid, mode } = await lstat(path);
          seen.add(`${String(uid)}:${String(gid)} ${mode.toString(8)}`);
        } catch (error) {
          if (!hasErrorCode(error, "ENOENT")) throw error;
          seen.add("absent");
        }
      }
    })();
    await server.listen();
    await lstat(path);
    done.abort();
    await watching;
    const id = String(ownerId);
    expect([...seen].filter((state) => state !== "absent")).toEqual([
      `${id}:${id} 140600`,
    ]);
    const directory = await lstat(dirname(path));
    expect(directory).toMatchObject({ uid: 0 });
    expect(directory.mode & 0o7777).toBe(0o711);
    expect(await readdir(dirname(path))).toEqual(["helper.sock"]);
  });

  it("goes with the helper, and only its own does", async () => {
    const path = await socketPlace();
    const { server } = helperAt(path);
    await server.listen();
    await server.close(0);
    await server.close(0);
    expect(await readdir(dirname(path))).toEqual([]);

    const next = helperAt(path);
    await next.server.listen();
    await rename(path, `${path}.old`);
    await writeFile(path, "somebody else's");
    await next.server.close(0);
    expect((await readdir(dirname(path))).sort()).toEqual([
      "helper.sock",
      "helper.sock.old",
    ]);
  });

  it("replaces one that a killed helper has left, and what else it left", async () => {
    const path = await socketPlace();
    await leaveStaleSocket(path);
    await mkdir(join(dirname(path), ".new"));
    await writeFile(join(dirname(path), ".new", "helper.sock"), "");
    await helperAt(path).server.listen();
    expect(await send(path, hello)).toEqual(answered);
    expect(await readdir(dirname(path))).toEqual(["helper.sock"]);
  });

  it("does not replace that of a helper that runs", async () => {
    const path = await socketPlace();
    const first = helperAt(path);
    await first.server.listen();
    await expect(helperAt(path).server.listen()).rejects.toMatchObject({
      code: "ERR_HELPER_RUNNING",
    });
    expect(await send(path, hello)).toEqual(answered);
    await first.server.close(0);
    await helperAt(path).server.listen();
    expect(await send(path, hello)).toEqual(answered);
  });

  it("is not another helper's before the first has ended", async () => {
    const path = await socketPlace();
    const waits = noWaits();
    const first = helperAt(path, { requests: [waitRequest(waits)] });
    await first.server.listen();
    const running = send(path, lineOf("test.wait", { ms: 700 }));
    await vi.waitFor(() => expect(waits.running).toBe(1));
    const closed = first.server.close(10_000);
    await vi.waitFor(async () =>
      expect(await readdir(dirname(path))).toEqual([]),
    );
    await expect(helperAt(path).server.listen()).rejects.toMatchObject({
      code: "ERR_HELPER_RUNNING",
    });
    expect(await running).toEqual({ ok: true, output: {} });
    await closed;
    await helperAt(path).server.listen();
  });

  it("does not replace one that anybody else answers on", async () => {
    const path = await socketPlace();
    await mkdir(dirname(path), { mode: 0o711 });
    const other = createServer();
    onTestFinished(() => {
      other.close();
    });
    other.listen(path);
    await once(other, "listening");
    await expect(helperAt(path).server.listen()).rejects.toMatchObject({
      code: "ERR_HELPER_RUNNING",
    });
    expect(other.listening).toBe(true);
    expect((await lstat(path)).uid).toBe(0);
  });

  it("is one helper's when several start at once over one that was left", async () => {
    const path = await socketPlace();
    await leaveStaleSocket(path);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => helperAt(path).server.listen()),
    );
    const codes = outcomes.map((outcome) =>
      outcome.status === "fulfilled"
        ? "listens"
        : (outcome.reason as { code?: string }).code,
    );
    expect(codes.filter((code) => code === "listens")).toHaveLength(1);
    expect(codes.filter((code) => code === "ERR_HELPER_RUNNING")).toHaveLength(
      7,
    );
    expect(await send(path, hello)).toEqual(answered);
  });

  it("is not put in the place of a link or a file", async () => {
    const path = await socketPlace();
    await mkdir(dirname(path), { mode: 0o711 });
    const target = join(dirname(dirname(path)), "target");
    await writeFile(target, "precious");
    await symlink(target, path);
    const refused = { code: "ERR_PRIVILEGED_SOCKET" };
    await expect(helperAt(path).server.listen()).rejects.toMatchObject(refused);
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
  });

  const directories: readonly {
    what: string;
    make: (directory: string) => Promise<unknown>;
    code: string;
  }[] = [
    {
      what: "a link",
      make: async (directory) => {
        await mkdir(`${directory}-target`, { mode: 0o711 });
        await symlink(`${directory}-target`, directory);
      },
      code: "ERR_NOT_ROOT_OWNED",
    },
    {
      what: "a file",
      make: (directory) => writeFile(directory, "", { mode: 0o600 }),
      code: "ERR_PRIVILEGED_SOCKET",
    },
    {
      what: "somebody's",
      make: async (directory) => {
        await mkdir(directory, { mode: 0o711 });
        await chown(directory, foreignId, foreignId);
      },
      code: "ERR_NOT_ROOT_OWNED",
    },
    {
      what: "writable by others",
      make: async (directory) => {
        await mkdir(directory);
        await chmod(directory, 0o777);
      },
      code: "ERR_NOT_ROOT_OWNED",
    },
    {
      what: "readable by others",
      make: (directory) => mkdir(directory, { mode: 0o755 }),
      code: "ERR_PRIVILEGED_SOCKET",
    },
    {
      what: "in a directory of somebody's",
      make: (directory) => chown(dirname(directory), foreignId, foreignId),
      code: "ERR_NOT_ROOT_OWNED",
    },
  ];

  it.each(directories)(
    "is not made in a directory that is $what",
    async ({ make, code }) => {
      const path = await socketPlace();
      await make(dirname(path));
      const { server } = helperAt(path);
      await expect(server.listen()).rejects.toMatchObject({ code });
      await expect(lstat(path)).rejects.toThrow();
    },
  );
});
