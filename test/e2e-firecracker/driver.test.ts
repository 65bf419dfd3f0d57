import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "../e2e/harness.js";

interface Shown {
  readonly runtime: Readonly<Record<string, unknown>>;
}

// Else the whole run might be about another VMM and nobody would see it.
describe("what the installs of this run start", () => {
  const name = "shown";
  let home: Home;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(15_379));
    const size = ["--memory", "256M", "--disk-size", "64M"];
    await home.ok(["vm", "run", "-d", "--name", name, ...size]);
  });
  afterAll(() => home.remove());

  it("is Firecracker, on a bridge, on a raw root disk, without a jail", async () => {
    const vm = (await home.json(["vm", "show", name, "--json"])) as Shown;
    expect(vm.runtime).toMatchObject({
      driver: "firecracker",
      accel: "kvm",
      networkMode: "bridge",
      rootDisk: expect.stringMatching(/^(reflink|snapshot|copy)$/) as string,
    });
    expect(vm.runtime).not.toHaveProperty("jailDirectory");
  });

  it("counts what goes through disks and network, and never less", async () => {
    const look = async (): Promise<Record<string, number>> => {
      await home.ok(["vm", "stats", name]);
      const [vm] = (await home.json(["vm", "stats", "--json"])) as [
        { stats: { io?: Record<string, number> } },
      ];
      return vm.stats.io ?? {};
    };
    const before = await look();
    const bytes = 4_000_000;
    const write = `head -c ${String(bytes)} /dev/urandom > /var/tmp/file; sync; cat /var/tmp/file`;
    await home.ok(["vm", "exec", name, "--", "sh", "-c", write]);
    const after = await look();
    for (const key of ["diskWrittenBytes", "networkSentBytes"])
      expect((after[key] ?? 0) - (before[key] ?? 0)).toBeGreaterThan(bytes);
    for (const key of ["diskReadBytes", "networkReceivedBytes"])
      expect(after[key]).toBeGreaterThanOrEqual(before[key] ?? Infinity);
  });
});
