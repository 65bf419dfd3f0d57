import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Home } from "../e2e/harness.js";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "../firecracker/provide-firecracker.js";

// On the contract server only: it can be any release.
const size = ["--memory", "256M", "--disk-size", "64M"];
let provided: ProvidedFirecracker;
let home: Home;

beforeAll(async () => {
  provided = await contractServer("1.8.0");
  home = new Home(configOf(provided));
});
afterAll(async () => {
  await home.remove();
  rmSync(provided.directory, { recursive: true, force: true });
});

it("boots the kernel unpacked for a release that boots no bzImage, and unpacks it once", async () => {
  const uname = ["vm", "run", "--rm", ...size, "--", "uname", "-s"];
  expect(await home.ok(uname)).toBe("Linux\n");
  const kernels = provided
    .requests()
    .filter(({ path }) => path === "/boot-source")
    .map(
      ({ body }) => (body as { kernel_image_path: string }).kernel_image_path,
    );
  // The probe's guest and the VM's.
  expect(new Set(kernels).size).toBe(1);
  expect(kernels[0]).toContain(join(home.path, "state/kernels/"));
  expect(readdirSync(join(home.path, "state/kernels"))).toHaveLength(1);
});

it("refuses one that is too old for the image's kernel, before anything is made", async () => {
  const older = await contractServer("1.7.0");
  const refusing = new Home(configOf(older));
  try {
    const run = ["vm", "run", "--rm", ...size, "--", "true"];
    const refused = await refusing.run(run);
    expect(refused.status).toBe(125);
    expect(refused.stderr).toContain("ERR_VMM_UNUSABLE");
    expect(refused.stderr).toContain("ACPI");
    expect(older.requests()).toEqual([]);
    expect(await refusing.ok(["vm", "list", "-a", "-q"])).toBe("");
  } finally {
    await refusing.remove();
    rmSync(older.directory, { recursive: true, force: true });
  }
});

function contractServer(version: string): Promise<ProvidedFirecracker> {
  const directory = mkdtempSync(join(tmpdir(), "banger-fc-old-"));
  return provideFirecracker(directory, { version });
}

function configOf({ firecracker }: ProvidedFirecracker): string {
  return `${Home.dnsConfig(15_381)}\n[vmm]\nfirecracker_bin = "${firecracker}"\n`;
}
