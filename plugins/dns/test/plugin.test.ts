import { readFileSync } from "node:fs";
import {
  composeHooks,
  createPluginContainer,
  guestDefaults,
  parsePluginManifest,
  PluginSet,
} from "@banger/core";
import {
  fakeImage,
  fakeOperation,
  fakePluginServices,
  fakeVm,
  FakeVmStore,
} from "@banger/core/testing";
import { afterEach, describe, expect, it } from "vitest";
import { dnsConfigSchema } from "../src/config.js";
import { plugin } from "../src/index.js";
import { askUdp, freePort, occupyUdp } from "./clients.js";
import { ask, read } from "./messages.js";

const host = "127.0.0.1";
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const vm = fakeVm({ name: "web", runtime: { guestIp: "172.16.0.2" } });
const image = fakeImage();
const exec = () =>
  Promise.reject(new Error("dns has no business in the guest"));

/** What a daemon has: the plugin's services made once, its hooks, and a log. */
function daemon(port: number) {
  const caller = fakeOperation();
  const services = { ...fakePluginServices(), logger: caller.logger };
  const listen = `${host}:${String(port)}`;
  const config = dnsConfigSchema.parse({ listen });
  const container = createPluginContainer(plugin, config, services);
  const end = (): Promise<void> => container.dispose();
  undo.push(end);
  const applied = [{ plugin, services: container.services }];
  const hooks = composeHooks(applied, ["dns"]);
  const set = new PluginSet(["dns"], hooks, new FakeVmStore([vm]));
  return { set, caller, end, network: services.network };
}

const rcode = async (port: number): Promise<string> =>
  read(await askUdp({ host, port }, ask("web.vm"))).rcode;

describe("the plugin", () => {
  it("is what its manifest says", () => {
    const path = new URL("../package.json", import.meta.url);
    const text = readFileSync(path, "utf8");
    const manifest = parsePluginManifest("dns", JSON.parse(text));
    expect(manifest).toMatchObject({ id: plugin.id, configKey: "dns" });
  });

  it("publishes after the start, withdraws at cleanup, both again and again", async () => {
    const port = await freePort();
    const { set, caller } = daemon(port);
    await set.cleanup(vm, undefined, "stop", caller);
    expect(await set.preflight(vm, image, caller)).toEqual([]);
    await set.postStart(vm, image, exec, caller);
    await set.postStart(vm, image, exec, caller);
    expect(caller.stages).toContain("dns: publishing web.vm");
    expect(await rcode(port)).toBe("NOERROR");
    expect(await set.preflight(vm, image, caller)).toEqual([]);
    const [section] = await set.doctor(caller);
    expect(section?.checks).toMatchObject([
      { id: "dns.listen", status: "pass" },
      { id: "dns.resolver", status: "warn" },
      { id: "dns.guests", status: "pass" },
      { id: "dns.firewall", status: "pass" },
    ]);
    expect(await set.cleanup(vm, undefined, "stop", caller)).toEqual([]);
    expect(await set.cleanup(vm, undefined, "delete", caller)).toEqual([]);
    expect(await rcode(port)).toBe("NXDOMAIN");
  });

  it("publishes again under a new daemon", async () => {
    const port = await freePort();
    const first = daemon(port);
    await first.set.postStart(vm, image, exec, first.caller);
    await first.end();
    const second = daemon(port);
    await second.set.postStart(vm, image, exec, second.caller);
    expect(second.caller.logger.entries).toMatchObject([{ level: "info" }]);
    expect(await rcode(port)).toBe("NOERROR");
  });

  it("warns of a taken port and lets the VM start; doctor says fail", async () => {
    const other = await occupyUdp();
    undo.push(other.release);
    const { set, caller } = daemon(other.port);
    expect(await set.preflight(vm, image, caller)).toMatchObject([
      {
        id: "dns.listen",
        severity: "warning",
        fix: expect.stringContaining("ss -ulpn") as string,
      },
    ]);
    await set.postStart(vm, image, exec, caller);
    expect(caller.logger.entries).toMatchObject([
      { level: "warn", fields: { error: { code: "ERR_DNS_PORT_BUSY" } } },
    ]);
    const [section] = await set.doctor(caller);
    expect(section?.checks[0]).toMatchObject({
      id: "dns.listen",
      status: "warn",
    });
    expect(await set.cleanup(vm, undefined, "stop", caller)).toEqual([]);
  });

  it("fails the start for a record that cannot be right", async () => {
    const { set, caller } = daemon(await freePort());
    const runtime = { ...vm.runtime, guestIp: "not an address" };
    await expect(
      set.postStart({ ...vm, runtime }, image, exec, caller),
    ).rejects.toMatchObject({ code: "ERR_INVALID_VALUE" });
  });

  it("lets guests on a bridge ask the host alone, and find each other by bare names", async () => {
    const { set, caller, network } = daemon(await freePort());
    const guest = guestDefaults({
      vm,
      network: network.guestNetwork(vm),
      authorizedKey: "",
      hostKey: { privateKey: "", publicKey: "" },
    });
    const file = async () =>
      (await set.guestConfig(guest, vm, image, caller)).files[
        "/etc/resolv.conf"
      ];
    expect(await file()).toBeUndefined();
    network.bridgeName = "br-fc";
    expect(await file()).toEqual({
      kind: "file",
      content: "nameserver 10.0.2.2\nsearch vm\n",
      mode: 0o644,
    });
  });

  it("publishes nothing for a start that was cancelled", async () => {
    const port = await freePort();
    const { set, caller } = daemon(port);
    const signal = AbortSignal.abort();
    await expect(
      set.postStart(vm, image, exec, { ...caller, signal }),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    await (await occupyUdp(port)).release();
  });
});
