import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { FakePrivileged } from "@banger/core/testing";
import { build } from "esbuild";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
} from "vitest";
import {
  routeRequest,
  showRouteRequest,
  uninstallRequest,
  unrouteRequest,
} from "../src/privileged.js";
import { NetworkNamespace, namespacesWork } from "./network-namespace.js";

const { signal } = new AbortController();
const works = await namespacesWork("nft", "dig", "dnsmasq");
const root = fileURLToPath(new URL("../../..", import.meta.url));
const path = (name: string): string =>
  fileURLToPath(new URL(name, import.meta.url));
const port = 23_069;
const route = { bridge: "br-fc", gateway: "172.16.0.1", port };

/** ms; each command enters a namespace */
const timeout = 120_000;

describe.runIf(works)("guests on a bridge", { timeout }, () => {
  let directory: string;
  let program: string;
  let host: NetworkNamespace;
  let guests: readonly NetworkNamespace[];
  let privileged: FakePrivileged;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "banger-dns-"));
    program = join(directory, "bridge-server.mjs");
    await build({
      entryPoints: [path("bridge-server.ts")],
      outfile: program,
      bundle: true,
      platform: "node",
      format: "esm",
      logLevel: "warning",
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      alias: {
        "@banger/core/testing": join(root, "core/src/testing/index.ts"),
        "@banger/core": join(root, "core/src/index.ts"),
      },
    });
  }, timeout);
  afterAll(() => rm(directory, { recursive: true, force: true }));

  beforeEach(async () => {
    host = await NetworkNamespace.make();
    guests = [await NetworkNamespace.make(), await NetworkNamespace.make()];
    privileged = new FakePrivileged(host);
    await host.sh("ip link add br-fc type bridge");
    await host.sh("ip link set br-fc alias banger-00c0ffee");
    await host.sh("ip address add 172.16.0.1/24 dev br-fc");
    await host.sh("ip link set br-fc up");
    for (const [index, guest] of guests.entries()) {
      const tap = `tap-fc-0000000${String(index)}`;
      await host.sh(
        `ip link add ${tap} type veth peer name eth0 netns ${String(guest.pid)}`,
      );
      await host.sh(`ip link set ${tap} master br-fc up`);
      await guest.sh(
        `ip address add 172.16.0.${String(index + 2)}/24 dev eth0`,
      );
      await guest.sh("ip link set eth0 up");
    }
    await host.serve(
      "sh",
      "-c",
      "(sleep 0.3; echo ready) & exec dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user= --no-hosts --no-resolv --bind-interfaces --listen-address=127.0.0.9 --local=/example/ --host-record=www.example,192.0.2.80",
    );
  }, timeout);
  afterEach(async () => {
    for (const guest of guests) await guest.remove();
    await host.remove();
  }, timeout);

  const serve = () =>
    host.serve(
      process.execPath,
      program,
      String(port),
      "127.0.0.9",
      "web=172.16.0.2",
      "db=172.16.0.3",
    );
  const dig = (guest: NetworkNamespace | undefined, words: string) =>
    guest?.sh(`dig +time=2 +tries=1 @172.16.0.1 ${words}`) ??
    Promise.resolve("");
  const rules = () => host.sh("nft list ruleset");

  it("find each other, over UDP and TCP, and beyond them what they may", async () => {
    await serve();
    expect(await dig(guests[0], "db.vm +short")).toBe("172.16.0.3\n");
    expect(await dig(guests[1], "web.vm +short +tcp")).toBe("172.16.0.2\n");
    expect(await dig(guests[1], "-x 172.16.0.2 +short")).toBe("web.vm.\n");
    expect(await dig(guests[1], "-x 172.16.0.77")).toContain("NXDOMAIN");
    expect(await dig(guests[0], "www.example +short")).toBe("192.0.2.80\n");
    expect(await dig(guests[1], "www.example")).toContain("REFUSED");
    expect(await dig(host, `db.vm -p ${String(port)} +short`)).toBe(
      "172.16.0.3\n",
    );
    expect(await dig(host, `www.example -p ${String(port)}`)).toContain(
      "REFUSED",
    );
    expect(
      await host.sh(`dig @127.0.0.1 -p ${String(port)} db.vm +short`),
    ).toBe("172.16.0.3\n");
  });

  it("ask in vain from elsewhere: the socket is the bridge's and this host's", async () => {
    const world = await NetworkNamespace.make();
    try {
      await host.sh(
        `ip link add uplink type veth peer name eth0 netns ${String(world.pid)}`,
      );
      await host.sh("ip address add 203.0.113.2/24 dev uplink");
      await host.sh("ip link set uplink up");
      await world.sh("ip address add 203.0.113.9/24 dev eth0");
      await world.sh("ip link set eth0 up");
      await world.sh("ip route add 172.16.0.0/24 via 203.0.113.2");
      await serve();
      expect(await dig(world, `db.vm -p ${String(port)}`)).toContain(
        "timed out",
      );
      expect(await dig(world, "db.vm")).not.toContain("172.16.0.3");
    } finally {
      await world.remove();
    }
  });

  it("have one table, which goes with the daemon's end and comes back with the next one", async () => {
    expect(await rules()).toBe("");
    const first = await serve();
    const before = await rules();
    expect(before.match(/^table /gm)).toEqual(["table "]);
    expect(before).toContain("table ip banger-dns-br-fc");
    first.stdin?.write("end\n");
    await once(first, "exit");
    expect(await rules()).toBe("");
    const second = await serve();
    expect((await rules()).replace(/elements = \{[^}]*\}/, "")).toBe(before);
    second.kill("SIGKILL");
    await once(second, "exit");
    expect(await rules()).not.toBe("");
    await serve();
    expect(await dig(guests[0], "db.vm +short")).toBe("172.16.0.3\n");
  });

  it("do not keep others from being answered by asking without end", async () => {
    await serve();
    const flood = await guests[0]!.serve(
      "sh",
      "-c",
      `echo ready; exec ${process.execPath} -e 'const s=require("node:dgram").createSocket("udp4");const q=Buffer.from("0001010000010000000000000377656202766d0000010001","hex");const go=()=>{for(let i=0;i<200;i++)s.send(q,53,"172.16.0.1");setImmediate(go)};go()'`,
    );
    for (let n = 0; n < 10; n++)
      expect(await dig(guests[1], "web.vm +short +tries=3")).toBe(
        "172.16.0.2\n",
      );
    flood.kill("SIGKILL");
  });

  it("are led here by requests that do the same twice, and take back what is not there", async () => {
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    expect(await privileged.request(showRouteRequest, route, signal)).toEqual({
      redirected: false,
    });
    await privileged.request(routeRequest, route, signal);
    const once = await rules();
    expect(await privileged.request(routeRequest, route, signal)).toEqual({
      resolver: "absent",
    });
    expect(await rules()).toBe(once);
    expect(await privileged.request(showRouteRequest, route, signal)).toEqual({
      redirected: true,
    });
    expect(
      await privileged.request(
        showRouteRequest,
        { ...route, port: 2306 },
        signal,
      ),
    ).toEqual({ redirected: false });
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    expect(await rules()).toBe("");
    await privileged.request(routeRequest, route, signal);
    await host.sh("ip link delete br-fc");
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    expect(await rules()).toBe("");
  });

  it.each([
    ["another install's", "ip link set br-fc alias banger-11111111"],
    ["no bridge", "ip link delete br-fc"],
    ["nobody's", "ip link set br-fc alias "],
    ["without that address", "ip address flush dev br-fc"],
  ])("are not led here over a bridge that is %s", async (_, line) => {
    await host.sh(line);
    await expect(
      privileged.request(routeRequest, route, signal),
    ).rejects.toMatchObject({ code: "ERR_DNS_ROUTE" });
    expect(await rules()).toBe("");
  });

  it("leave nothing when the install goes, whatever has become of the bridge", async () => {
    await privileged.request(uninstallRequest, {}, signal);
    await privileged.request(routeRequest, route, signal);
    await host.sh("nft add table ip somebody-else");
    await privileged.request(uninstallRequest, {}, signal);
    expect(await rules()).toBe("table ip somebody-else {\n}\n");
    await privileged.request(routeRequest, route, signal);
    await host.sh("ip link set br-fc alias banger-11111111");
    await privileged.request(uninstallRequest, {}, signal);
    expect(await rules()).toContain("banger-dns-br-fc");
    await host.sh("ip link delete br-fc");
    await privileged.request(uninstallRequest, {}, signal);
    expect(await rules()).toBe("table ip somebody-else {\n}\n");
  });

  it("of another install keep their rules", async () => {
    await privileged.request(routeRequest, route, signal);
    await host.sh("ip link set br-fc alias banger-11111111");
    await expect(
      privileged.request(unrouteRequest, { bridge: "br-fc" }, signal),
    ).rejects.toMatchObject({ code: "ERR_DNS_ROUTE" });
    expect(await rules()).not.toBe("");
  });
});
