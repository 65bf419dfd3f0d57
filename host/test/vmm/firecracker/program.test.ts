import { realpath, symlink, writeFile } from "node:fs/promises";
import { FakeCommandRunner } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { ExecaCommandRunner } from "../../../src/commands/execa-command-runner.js";
import { FirecrackerProgram } from "../../../src/vmm/firecracker/program.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";

const never = new AbortController().signal;

/** A program that says a version, and how often it was asked. */
async function saying(text: string): Promise<{
  path: string;
  say: (text: string) => Promise<void>;
  program: FirecrackerProgram;
}> {
  const path = `${await temporaryDirectory()}/firecracker`;
  const say = (next: string): Promise<void> =>
    writeFile(path, `#!/bin/sh\nprintf '%s\\n' '${next}'\n`, { mode: 0o755 });
  await say(text);
  const commands = new ExecaCommandRunner();
  return {
    path,
    say,
    program: new FirecrackerProgram({ commands, program: path }),
  };
}

describe("FirecrackerProgram", () => {
  it("says where it is, its version, and what it can do", async () => {
    const { path, program } = await saying("Firecracker v1.8.0");
    expect(await program.look(never)).toEqual({ path });
    expect(await program.version(never)).toBe("1.8.0");
    expect(await program.require(never)).toMatchObject({
      path,
      version: { text: "1.8.0" },
      features: { acpi: true, bzImage: false },
    });
  });

  it("looks again when the file is another one", async () => {
    const { program, say } = await saying("Firecracker v1.8.0");
    expect(await program.version(never)).toBe("1.8.0");
    await say("Firecracker v1.17.0");
    expect(await program.version(never)).toBe("1.17.0");
  });

  it("follows links, as the jailer does", async () => {
    const { path } = await saying("Firecracker v1.8.0");
    const link = `${path}-link`;
    await symlink(path, link);
    const commands = new ExecaCommandRunner();
    const program = new FirecrackerProgram({ commands, program: link });
    expect((await program.look(never)).path).toBe(await realpath(path));
  });

  it("says what is wrong with one that is too old, or something else", async () => {
    const { program: old } = await saying("Firecracker v1.7.0");
    const looked = await old.look(never);
    expect(looked.problem).toContain("1.7.0 is too old");
    expect(looked.fix).toContain("1.8");
    expect(await old.version(never)).toBe("1.7.0");
    await expect(old.require(never)).rejects.toMatchObject({
      code: "ERR_FIRECRACKER_TOO_OLD",
    });
    const { program: other } = await saying("hello");
    expect((await other.look(never)).problem).toContain("hello");
    expect(await other.version(never)).toBeUndefined();
  });

  it("says so when there is none, or it cannot be run", async () => {
    const none = new FirecrackerProgram({ commands: new FakeCommandRunner() });
    expect(await none.look(never)).toMatchObject({
      problem: "it is not installed",
    });
    expect(await none.version(never)).toBeUndefined();
    await expect(none.require(never)).rejects.toMatchObject({
      code: "ERR_TOOL_MISSING",
    });
    const { path, program } = await saying("");
    await writeFile(path, "#!/bin/sh\necho broken >&2\nexit 3\n");
    expect((await program.look(never)).problem).toContain("broken");
  });

  it("passes on that the caller has cancelled", async () => {
    const { program } = await saying("Firecracker v1.8.0");
    await expect(program.look(AbortSignal.abort())).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
  });
});
