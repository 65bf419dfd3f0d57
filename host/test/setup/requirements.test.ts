import { FakeCommandRunner, fakeHostFacts } from "@banger/core/testing";
import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { HostRequirements } from "../../src/setup/requirements.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { fakeElf } from "../images/fake-elf.js";

const all =
  "qemu-system-x86_64 qemu-img mmdebstrap mke2fs busybox ssh-keygen newuidmap".split(
    " ",
  );

function host(
  installed: readonly string[],
  isRoot = false,
  networkMode = "user",
): { commands: FakeCommandRunner; requirements: HostRequirements } {
  const commands = new FakeCommandRunner();
  for (const program of installed) commands.install(program);
  const hostFacts = fakeHostFacts({ isRoot });
  return {
    commands,
    requirements: new HostRequirements({ commands, hostFacts, networkMode }),
  };
}

it("lists everything that is missing at once, with one command for all of it", async () => {
  const { requirements } = host(["qemu-img", "mke2fs", "ssh-keygen"]);
  const report = await requirements.report();
  expect(report.missing.map(({ program }) => program)).toEqual([
    ...["qemu-system-x86_64", "mmdebstrap", "busybox", "newuidmap"],
  ]);
  expect(report.install).toEqual([
    ...["sudo", "apt-get", "install", "-y", "--no-install-recommends"],
    ...["qemu-system-x86", "mmdebstrap", "busybox-static", "uidmap"],
  ]);
  await expect(requirements.check()).rejects.toMatchObject({
    code: "ERR_HOST_PACKAGES_MISSING",
    kind: "unavailable",
    hint: `Run: ${report.install.join(" ")}`,
    details: expect.arrayContaining([
      "mmdebstrap: builds the Debian image",
    ]) as unknown,
  });
});

it("needs no mapping of ids and no sudo as root", async () => {
  const { requirements } = host(["qemu-img"], true);
  const { missing, install } = await requirements.report();
  expect(missing.map(({ program }) => program)).not.toContain("newuidmap");
  expect(install[0]).toBe("apt-get");
});

it("needs more where new VMs are on a bridge", async () => {
  const { requirements } = host(all, true, "bridge");
  const { missing, install } = await requirements.report();
  expect(missing.map(({ program }) => program)).toEqual([
    ...["ip", "nft", "sysctl", "lz4"],
  ]);
  expect(install.slice(-4)).toEqual([
    ...["iproute2", "nftables", "procps", "lz4"],
  ]);
});

it("does not look again once everything was there", async () => {
  const { commands, requirements } = host(all);
  expect(await requirements.report()).toMatchObject({
    missing: [],
    install: [],
  });
  await requirements.check();
  commands.uninstallAll();
  await requirements.check();
});

it("looks again while something was missing", async () => {
  const { commands, requirements } = host(all.slice(1));
  await expect(requirements.check()).rejects.toThrow();
  commands.install("qemu-system-x86_64");
  await requirements.check();
});

it("counts only a busybox that needs no libraries", async () => {
  const busybox = `${await temporaryDirectory()}/busybox`;
  const { commands, requirements } = host(all);
  const find = commands.find.bind(commands);
  commands.find = (program) =>
    program === "busybox" ? Promise.resolve(busybox) : find(program);
  await writeFile(busybox, fakeElf(3));
  const report = await requirements.report();
  expect(report.missing.map(({ program }) => program)).toEqual(["busybox"]);
  expect(report.install.at(-1)).toBe("busybox-static");
  await writeFile(busybox, fakeElf(1));
  expect((await requirements.report()).missing).toEqual([]);
});

it("asks for no newuidmap where the root helper maps ids", async () => {
  const { commands } = host(all.filter((program) => program !== "newuidmap"));
  const hostFacts = fakeHostFacts({ isRoot: false });
  const options = { commands, hostFacts, networkMode: "user" };
  const missing = async (hasHelper: boolean): Promise<readonly string[]> =>
    (
      await new HostRequirements({ ...options, hasHelper }).report()
    ).missing.map(({ program }) => program);
  expect(await missing(true)).not.toContain("newuidmap");
  expect(await missing(false)).toContain("newuidmap");
});
