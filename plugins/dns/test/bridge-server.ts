// A program for tests: the DNS of a daemon for VMs on the bridge of the network it runs in, whose requests to root it carries out itself.
// `bridge-server <port> <upstream> <VM name>=<address> …`; ends as a daemon does when its stdin says `end`, and dies with it otherwise.
import { execFile } from "node:child_process";
import {
  CommandFailedError,
  ToolMissingError,
  type CommandRunner,
} from "@banger/core";
import {
  FakeGuestEgress,
  FakeNetwork,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { DnsService } from "../src/dns-service.js";
import { parseUpstream } from "../src/upstreams.js";
import { find } from "./programs.js";

const [port = "", upstream = "", ...named] = process.argv.slice(2);

const commands: CommandRunner = {
  find,
  run: async (command) => {
    const { file, args, timeoutMs, okExitCodes = [0], input } = command;
    const path = await find(file);
    if (path === undefined) throw new ToolMissingError(file);
    return new Promise((resolve, reject) => {
      const child = execFile(
        path,
        args,
        { timeout: timeoutMs },
        (error, stdout, stderr) => {
          const exitCode = error === null ? 0 : Number(error.code);
          if (okExitCodes.includes(exitCode))
            resolve({ exitCode, stdout, stderr });
          else reject(new CommandFailedError(command, "failed", { stderr }));
        },
      );
      child.stdin?.on("error", () => undefined).end(input);
    });
  },
};

class BridgeNetwork extends FakeNetwork {
  override bridge(): string {
    return "br-fc";
  }
  override guestNetwork(vm: Parameters<FakeNetwork["guestNetwork"]>[0]) {
    return {
      address: `${vm.runtime.guestIp}/24`,
      gateway: "172.16.0.1",
      nameservers: [],
    };
  }
}

const guestEgress = new FakeGuestEgress();
guestEgress.decide({
  // One guest may have every name, the others none.
  mayResolve: (guestIp) => guestIp === "172.16.0.2",
  resolved: async () => Promise.resolve(),
  inForce: () => ({ kind: "open", recorded: false }),
  refusals: async () => Promise.resolve([]),
});
const service = new DnsService({
  listen: { host: "127.0.0.1", port: Number(port) },
  ttlSeconds: 5,
  upstreams: [parseUpstream(upstream)],
  network: new BridgeNetwork(),
  guestEgress,
  privileged: new FakePrivileged(commands),
  logger: memoryLogger(),
});
const { signal } = new AbortController();
for (const [index, entry] of named.entries()) {
  const [name = "", guestIp = ""] = entry.split("=");
  const id = fakeVmId(index + 1);
  const vm = fakeVm({ id, name, runtime: { guestIp, networkMode: "bridge" } });
  await service.bridges.serve(vm, signal);
  await service.server.publish(vm.runtime.dnsName, guestIp);
}
console.log("ready", JSON.stringify(await service.bridges.states(signal)));
process.stdin.on("data", (chunk) => {
  if (String(chunk).startsWith("end"))
    void service.close().then(() => process.exit());
});
