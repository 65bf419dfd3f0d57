import {
  definePlugin,
  Stage,
  throwIfCancelled,
  type Plugin,
} from "@banger/core";
import { dnsConfigSchema, parseListen } from "./config.js";
import { checkListen, checkResolver } from "./doctor.js";
import { isDnsUnavailable } from "./errors.js";
import { DnsServer } from "./server.js";

export { DnsListenError, DnsPortBusyError } from "./errors.js";

/** `<name>.vm` for every running VM, on a DNS server of its own. */
export const plugin: Plugin = definePlugin({
  id: "dns",
  config: dnsConfigSchema,
  inject: ["commands", "logger"],
  provide: {
    dnsServer: {
      make: ({ config, logger }) =>
        new DnsServer({
          listen: parseListen(config.listen),
          ttlSeconds: config.ttl,
          logger,
        }),
      dispose: (server: DnsServer) => server.close(),
    },
  },
  apply(hooks, { dnsServer, commands }) {
    const tap = { name: "dns", stage: Stage.services };

    // A VM without its name is still worth having: two installs on one host both want the port.
    hooks.preflight.tapPromise(tap, async (preflight) => {
      const problem = await dnsServer.probe();
      if (!problem) return;
      preflight.report({
        id: "dns.listen",
        severity: "warning",
        message: `${problem.message}; ${preflight.vm.runtime.dnsName} will not resolve`,
        ...(problem.hint === undefined ? {} : { fix: problem.hint }),
      });
    });

    hooks.postStart.tapPromise(
      tap,
      async ({ vm, progress, logger, signal }) => {
        const { dnsName, guestIp } = vm.runtime;
        throwIfCancelled(signal, "publishing a DNS name");
        progress("dns", `publishing ${dnsName}`);
        try {
          await dnsServer.publish(dnsName, guestIp);
        } catch (error) {
          if (!isDnsUnavailable(error)) throw error;
          progress("dns", `warning: ${dnsName} is not published`);
          logger.warn("DNS name not published yet", { dnsName, error });
        }
      },
    );

    hooks.cleanup.tapPromise(tap, async ({ vm }) => {
      dnsServer.withdraw(vm.runtime.dnsName);
    });

    hooks.doctor.tapPromise(tap, async (doctor) => {
      doctor.report(await checkListen(dnsServer));
      doctor.report(await checkResolver(dnsServer, commands, doctor.signal));
    });
  },
});
