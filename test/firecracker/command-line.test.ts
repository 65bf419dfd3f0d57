import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "./provide-firecracker.js";
import { RunningFirecracker } from "./running-firecracker.js";

let provided: ProvidedFirecracker;
let server: RunningFirecracker | undefined;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-test-"));
  provided = await provideFirecracker(directory, { guest: "none" });
  mkdirSync(join(directory, "jails"));
});

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

afterAll(() => {
  rmSync(provided.directory, { recursive: true, force: true });
});

function run(
  program: string,
  ...args: readonly string[]
): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: {},
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

describe("firecracker", () => {
  it("says its version", () => {
    expect(run(provided.firecracker, "--version")).toEqual({
      status: 0,
      output: "Firecracker v1.17.0\n\n",
    });
  });

  it("refuses what it does not know", () => {
    const refusal = run(provided.firecracker, "--enable-usb");
    expect(refusal.status).toBe(153);
    expect(refusal.output).toContain("Found argument 'enable-usb'");
    provided.configure({ guest: "none", version: "1.12.0" });
    expect(run(provided.firecracker, "--enable-pci").status).toBe(153);
    provided.configure({ guest: "none" });
    expect(run(provided.firecracker, "--id").status).toBe(153);
    expect(run(provided.firecracker, "--level", "loud").status).toBe(152);
    expect(run(provided.firecracker, "--id", "a_b").status).toBe(1);
  });

  it("refuses a socket that is there, and leaves it", () => {
    const socket = join(provided.directory, "taken.sock");
    writeFileSync(socket, "");
    const refusal = run(provided.firecracker, "--api-sock", socket);
    expect(refusal.status).toBe(1);
    expect(refusal.output).toContain(
      `Failed to open the API socket at: ${socket}. Check that it is not already used.`,
    );
    expect(existsSync(socket)).toBe(true);
  });

  it("logs where it is told, names itself and holds the socket until SIGTERM", async () => {
    const log = join(provided.directory, "log");
    server = await RunningFirecracker.direct(provided, "named-vm", [
      ...["--log-path", log, "--level", "Info", "--show-level", "--enable-pci"],
      ...["--start-time-us", "1", "--start-time-cpu-us", "1"],
    ]);
    expect((await server.send("GET", "/")).body).toMatchObject({
      id: "named-vm",
      state: "Not started",
    });
    expect(readFileSync(log, "utf8")).toContain(
      "[named-vm:main:INFO] Running Firecracker v1.17.0",
    );
    const pid = String(server.process.pid);
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")).toContain(
      "named-vm",
    );
    expect(readFileSync(`/proc/${pid}/net/unix`, "utf8")).toContain(
      "/named-vm.sock\n",
    );
    expect(await server.stop()).toMatchObject({ signal: "SIGTERM" });
  });
});

describe("jailer", () => {
  const required = (): string[] => [
    ...["--exec-file", provided.firecracker, "--uid", "1234", "--gid", "1234"],
    ...["--chroot-base-dir", join(provided.directory, "jails")],
  ];

  it("says its version", () => {
    expect(run(provided.jailer, "--version")).toEqual({
      status: 0,
      output: "Jailer v1.17.0\n\n",
    });
  });

  it.each([
    [["--id", "a_b"], "Invalid instance ID: Invalid char (_) at position 1"],
    [["--id", "a", "--cgroup", "x"], "Invalid format for cgroups: x"],
    [
      ["--id", "a", "--cgroup-version", "3", "--cgroup", "a.b=1"],
      "3 is an invalid cgroup version specifier",
    ],
    [["--id", "a", "--parent-cgroup", "../b"], "Parent cgroup path is invalid"],
    [["--id", "a", "--resource-limit", "cpu=1"], "Invalid resource argument"],
    [["--id", "a", "--resource-limit", "fsize=x"], "Invalid limit value"],
    [["--id", "a", "--netns", "/nonexistent"], "Failed to open file"],
    [["--id", "a", "--new-pid-ns"], "not served"],
    [[], "Argument 'id' required"],
  ] as const)("checks %j", (args, message) => {
    const refusal = run(provided.jailer, ...required(), ...args);
    expect(refusal.status).toBe(1);
    expect(refusal.output).toContain(message);
  });

  it("starts only what is called firecracker, for users by number", () => {
    const args = ["--id", "a", "--gid", "1", "--chroot-base-dir", "/tmp"];
    expect(
      run(provided.jailer, ...args, "--uid", "1", "--exec-file", "/bin/sh")
        .output,
    ).toContain('must contain "firecracker"');
    expect(
      run(
        provided.jailer,
        ...[...args, "--uid", "root", "--exec-file", provided.firecracker],
      ).output,
    ).toContain("Invalid uid: root");
  });

  it.skipIf(process.getuid?.() !== 0)(
    "keeps its pid, changes root and user, and leaves a jail that is used once",
    async () => {
      const root = join(provided.directory, "jails/firecracker/jailed-vm/root");
      const args = [
        ...["--id", "jailed-vm", ...required()],
        ...["--", "--api-sock", "/run/api.sock"],
      ];
      server = await RunningFirecracker.start(
        provided.jailer,
        args,
        join(root, "run/api.sock"),
      );
      const pid = String(server.process.pid);
      expect((await server.send("GET", "/")).body).toMatchObject({
        id: "jailed-vm",
      });
      expect(readFileSync(join(root, "firecracker.pid"), "utf8")).toBe(pid);
      expect(readFileSync(`/proc/${pid}/status`, "utf8")).toContain(
        "Uid:\t1234\t1234\t1234\t1234",
      );
      expect(readFileSync(`/proc/${pid}/net/unix`, "utf8")).toContain(
        " /run/api.sock\n",
      );
      expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(
        /Max open files +2048 +2048/,
      );
      expect(statSync(root).uid).toBe(1234);
      expect(statSync(join(root, "dev/kvm")).rdev).toBe(0x0ae8);
      writeFileSync(join(root, "kernel"), "\x7fELF", "latin1");
      expect(
        (
          await server.send("PUT", "/boot-source", {
            kernel_image_path: "/kernel",
          })
        ).status,
      ).toBe(204);
      expect(provided.requests().at(-1)).toMatchObject({ id: "jailed-vm" });
      await server.stop();
      expect(run(provided.jailer, ...args).output).toContain("File exists");
      expect(execFileSync("mount", { encoding: "utf8" })).not.toContain(root);
    },
  );
});
