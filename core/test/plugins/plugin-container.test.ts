import { describe, expect, it } from "vitest";
import { createPluginContainer, definePlugin, type Plugin } from "@banger/core";
import { someServices } from "./samples.js";

describe("createPluginContainer", () => {
  it("names a service that does not exist, and those that do", () => {
    const plugin = {
      ...definePlugin({ id: "nat", apply: () => undefined }),
      inject: ["firewall"],
    } as unknown as Plugin;
    expect(() => createPluginContainer(plugin, {}, someServices())).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_SERVICE",
        message:
          "plugin nat asks for the service firewall, which does not exist",
        hint: "Services are: commands, network, hostFacts, guestKeys, guestEgress, privileged, logger",
      }),
    );
  });

  it("gives what is asked for and its config, nothing else", () => {
    const available = someServices();
    const plugin = definePlugin({
      id: "nat",
      inject: ["commands", "logger"],
      apply: () => undefined,
    });
    const config = { uplink: "eth0" };
    const { services } = createPluginContainer(plugin, config, available);
    const given = services as Record<string, unknown>;
    expect(given["commands"]).toBe(available.commands);
    expect(given["config"]).toBe(config);
    expect(() => given["network"]).toThrow();
    (given["logger"] as typeof available.logger).info("Hello");
    expect(available.logger.entries[0]?.fields).toEqual({ plugin: "nat" });
  });

  it("makes own services once, at their first use, and disposes of those it made", async () => {
    const log: string[] = [];
    const plugin = definePlugin({
      id: "dns",
      inject: ["hostFacts"],
      provide: {
        server: {
          make: ({ hostFacts }) => {
            log.push(`server for ${hostFacts.cpus} CPUs`);
            return { port: 53 };
          },
          dispose: ({ port }: { port: number }) =>
            void log.push(`closed ${port}`),
        },
        unused: {
          make: () => (log.push("never"), {}),
          dispose: () => void log.push("never"),
        },
      },
      apply: () => undefined,
    });
    const container = createPluginContainer(plugin, {}, someServices());
    expect(log).toEqual([]);
    const given = container.services as Record<string, unknown>;
    expect(given["server"]).toBe(given["server"]);
    await container.dispose();
    await container.dispose();
    expect(log).toEqual(["server for 4 CPUs", "closed 53"]);
  });
});
