import {
  definePlugin,
  Stage,
  throwIfCancelled,
  type Plugin,
  type VmContext,
} from "@banger/core";
import { dnsConfigSchema, parseListen } from "./config.js";
import { DnsService } from "./dns-service.js";
import { checkListen, checkResolver } from "./doctor.js";
import { isDnsUnavailable } from "./errors.js";
import { checkFirewall, checkGuests } from "./guest-checks.js";
import { withNameserver } from "./guest-resolver.js";
import {
  routeRequest,
  showRouteRequest,
  uninstallRequest,
  unrouteRequest,
} from "./privileged.js";
import { parseUpstream } from "./upstreams.js";

export { DnsListenError, DnsPortBusyError, DnsRouteError } from "./errors.js";

/** `<name>.vm` for every running VM, on a DNS server of its own, which guests on a bridge can ask for everything else, too. */
export const plugin: Plugin = definePlugin({
  id: "dns",
  config: dnsConfigSchema,
  privileged: [
    routeRequest,
    unrouteRequest,
    showRouteRequest,
    uninstallRequest,
  ],
  inject: ["commands", "logger", "network", "guestEgress", "privileged"],
  provide: {
    dns: {
      make: ({ config, network, guestEgress, privileged, logger }) =>
        new DnsService({
          listen: parseListen(config.listen),
          ttlSeconds: config.ttl,
          upstreams: config.upstreams.map(parseUpstream),
          network,
          guestEgress,
          privileged,
          logger,
        }),
      dispose: (dns: DnsService) => dns.close(),
    },
  },
  apply(hooks, services) {
    const tap = { name: "dns", stage: Stage.services };

    // A VM without its name is still worth having: two installs on one host both want the port.
    // A VM without its name is still worth having: two installs on one host both want the port.
    const tolerate = async (
      { progress, logger }: Pick<VmContext, "progress" | "logger">,
      what: string,
      work: () => Promise<void>,
    ): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!isDnsUnavailable(error)) throw error;
        progress("dns", `warning: ${what}`);
        logger.warn("DNS is not whole", { what, error });
      }
    };

    hooks.preflight.tapPromise(tap, async (preflight) => {
      const problem = await services.dns.server.probe();
      if (!problem) return;
      preflight.report({
        id: "dns.listen",
        severity: "warning",
        message: `${problem.message}; ${preflight.vm.runtime.dnsName} will not resolve`,
        ...(problem.hint === undefined ? {} : { fix: problem.hint }),
      });
    });

    hooks.guestConfig.tap(tap, (guest, { vm }) => {
      const ip = services.dns.bridges.nameserverOf(vm);
      return ip === undefined ? guest : withNameserver(guest, ip);
    });

    // Before the guest runs: what it starts may look up names at once.
    hooks.prepareHost.tapPromise(tap, async (context) => {
      const { vm, signal } = context;
      await tolerate(context, `${vm.name} finds no names`, () =>
        services.dns.bridges.serve(vm, signal),
      );
    });

    hooks.postStart.tapPromise(tap, async (context) => {
      const { vm, progress, signal } = context;
      const { dnsName, guestIp } = vm.runtime;
      throwIfCancelled(signal, "publishing a DNS name");
      progress("dns", `publishing ${dnsName}`);
      await tolerate(context, `${dnsName} is not published`, () =>
        services.dns.server.publish(dnsName, guestIp),
      );
      // Under a new daemon nobody has prepared this VM.
      await tolerate(context, `${vm.name} finds no names`, () =>
        services.dns.bridges.serve(vm, signal),
      );
    });

    hooks.cleanup.tapPromise(tap, async ({ vm, signal }) => {
      services.dns.server.withdraw(vm.runtime.dnsName);
      await services.dns.bridges.dismiss(vm, signal);
    });

    hooks.doctor.tapPromise(tap, async ({ report, signal }) => {
      const { dns, commands } = services;
      const checks = await Promise.all([
        checkListen(dns.server),
        checkResolver(dns.server, commands, signal),
        checkGuests(dns, signal),
        checkFirewall(dns, commands, signal),
      ]);
      checks.forEach(report);
    });
  },
});
