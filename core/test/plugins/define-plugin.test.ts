import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  createHooks,
  definePlugin,
  type CleanupContext,
  type CommandRunner,
  type ConfigContext,
  type Egress,
  type GuestConfig,
  type GuestContext,
  type Hooks,
  type MachineConfig,
  type Plugin,
  type VmRecord,
} from "@banger/core";

describe("definePlugin", () => {
  it("fills what is left out with nothing", () => {
    const plugin = definePlugin({ id: "x", apply: () => undefined });
    expect(plugin).toMatchObject({ id: "x", inject: [], provide: {} });
    expect(plugin.config.safeParse({}).success).toBe(true);
    expect(plugin.config.safeParse({ key: 1 }).success).toBe(false);
  });

  it("types services from `inject`, config and own services", () => {
    const plugin = definePlugin({
      id: "x",
      config: z.strictObject({ port: z.number().default(53) }),
      inject: ["commands"],
      provide: {
        server: {
          make: ({ commands, config }) => {
            expectTypeOf(commands).toEqualTypeOf<CommandRunner>();
            expectTypeOf(config.port).toEqualTypeOf<number>();
            return { port: config.port };
          },
          // TypeScript infers the service from here: `make` takes its argument from the context.
          dispose: (_server: { port: number }) => undefined,
        },
      },
      apply(hooks, services) {
        expectTypeOf(hooks).toEqualTypeOf<Hooks>();
        expectTypeOf(services.commands).toEqualTypeOf<CommandRunner>();
        expectTypeOf(services.config).toEqualTypeOf<{ port: number }>();
        expectTypeOf(services.server).toEqualTypeOf<{ port: number }>();
        expectTypeOf(services).not.toHaveProperty("network");
      },
    });
    expectTypeOf(plugin).toEqualTypeOf<Plugin>();
  });

  it("refuses a service that does not exist, at compile time", () => {
    definePlugin({
      id: "x",
      // @ts-expect-error -- there is no such service
      inject: ["firewall"],
      apply: () => undefined,
    });
  });
});

describe("Hooks", () => {
  const hooks = createHooks();

  it("are eight, each with the arguments of its class", () => {
    expect(Object.keys(hooks)).toHaveLength(8);
    hooks.guestConfig.tap("x", (config, context) => {
      expectTypeOf(config).toEqualTypeOf<GuestConfig>();
      expectTypeOf(context).toEqualTypeOf<ConfigContext>();
      expectTypeOf(context).not.toHaveProperty("teardown");
      return config;
    });
    hooks.machineConfig.tap("x", (config) => {
      expectTypeOf(config).toEqualTypeOf<MachineConfig>();
      expectTypeOf(config.egress).toEqualTypeOf<
        Readonly<Record<string, Egress>>
      >();
      return config;
    });
    hooks.postStart.tapPromise("x", async (context) => {
      expectTypeOf(context).toEqualTypeOf<GuestContext>();
    });
    hooks.cleanup.tapPromise("x", async (context) => {
      expectTypeOf(context).toEqualTypeOf<CleanupContext>();
      expectTypeOf(context.reason).toEqualTypeOf<"stop" | "delete">();
    });
    hooks.configChange.tapPromise("x", async (before, after, { live }) => {
      expectTypeOf(before).toEqualTypeOf<VmRecord>();
      expectTypeOf(after).toEqualTypeOf<VmRecord>();
      expectTypeOf(live).toEqualTypeOf<boolean>();
    });
  });

  it("show records that a tap may not write to", () => {
    expectTypeOf<VmRecord["spec"]>().toEqualTypeOf<
      Readonly<VmRecord["spec"]>
    >();
    hooks.machineConfig.tap("x", (config) => {
      // @ts-expect-error -- read only
      config.vcpus = 2;
      return config;
    });
  });
});
