import { mkdir, rm, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  definePlugin,
  throwIfCancelled,
  type CommandRunner,
  type Hooks,
  type Plugin,
  type VmRecord,
} from "@banger/core";
import type { ContractHost } from "@banger/core/testing";
import { failuresOf } from "./collect.js";

type Apply = (hooks: Hooks, services: { commands: CommandRunner }) => void;

/** A plugin that is right in everything that `apply` leaves alone. */
function sample(apply: Apply): Plugin {
  return definePlugin({
    id: "sample",
    inject: ["commands"],
    apply(hooks, services) {
      hooks.doctor.tap("sample", ({ report }) => {
        report({
          id: "sample.all",
          title: "all",
          status: "pass",
          detail: "seen",
        });
      });
      apply(hooks, services);
    },
  });
}

/** `rule add NAME` and `rule remove NAME` change the fake host. */
const arrange = ({ commands, objects }: ContractHost): void => {
  commands.install("rule", ({ args: [verb = "", name = ""] }) => {
    if (verb === "add") objects.add(name);
    else objects.delete(name);
    return undefined;
  });
};

const rule = (
  commands: CommandRunner,
  verb: string,
  name: string,
  signal: AbortSignal,
): Promise<unknown> =>
  commands.run({ file: "rule", args: [verb, name], timeoutMs: 1000, signal });

const ruleName = (vm: VmRecord) => `banger-${vm.id}`;

const good: Apply = (hooks, { commands }) => {
  hooks.prepareHost.tapPromise("sample", async ({ vm, signal }) => {
    await rule(commands, "add", ruleName(vm), signal);
    await rule(commands, "add", `${ruleName(vm)}-2`, signal);
  });
  hooks.cleanup.tapPromise("sample", async ({ vm, signal }) => {
    await rule(commands, "remove", ruleName(vm), signal);
    await rule(commands, "remove", `${ruleName(vm)}-2`, signal);
  });
};

const faults = "a fault at any host call leaves nothing half-made";
const abortInside = "a cancel at any host call is honoured";
const abortBefore = "a cancel before the start is honoured";

describe("the plugin contract kit", () => {
  it("passes a plugin that keeps its promises", async () => {
    expect(await failuresOf(sample(good), { arrange })).toEqual({});
  });

  it("passes a plugin with a config section", async () => {
    const plugin = definePlugin({
      id: "sample",
      config: z.strictObject({ text: z.string().default("") }),
      apply(hooks) {
        hooks.doctor.tap("sample", ({ report }) => {
          report({
            id: "sample.all",
            title: "all",
            status: "pass",
            detail: "seen",
          });
        });
      },
    });
    expect(await failuresOf(plugin, { section: { text: "x" } })).toEqual({});
    expect(await failuresOf(plugin, { section: { text: 1 } })).toHaveProperty([
      "the config section is checked",
    ]);
  });

  it("finds a section that swallows unknown keys", async () => {
    const plugin = { ...sample(good), config: z.object({}) };
    expect(Object.keys(await failuresOf(plugin, { arrange }))).toEqual([
      "the config section is checked",
    ]);
  });

  it("finds a manifest that differs from the code", async () => {
    const packageJson = {
      banger: { kind: "plugin", id: "other", apiVersion: 1 },
    };
    expect(
      Object.keys(await failuresOf(sample(good), { arrange, packageJson })),
    ).toEqual(["manifest and code agree"]);
  });

  it("finds settings that no manifest key leads to", async () => {
    const packageJson = {
      banger: { kind: "plugin", id: "sample", apiVersion: 1 },
    };
    const config = z.strictObject({ text: z.string().default("") });
    const plugin = { ...sample(good), config };
    expect(
      Object.keys(await failuresOf(plugin, { arrange, packageJson })),
    ).toEqual(["manifest and code agree"]);
  });

  it("finds a tap under another name", async () => {
    const failures = await failuresOf(
      sample((hooks) => {
        hooks.cleanup.tap("someone-else", () => undefined);
      }),
    );
    expect(failures).toHaveProperty([
      "apply taps under the plugin's id and does nothing else",
    ]);
  });

  it("finds an apply() that calls the host", async () => {
    const failures = await failuresOf(
      sample((_hooks, { commands }) => void commands.find("rule")),
      { arrange },
    );
    expect(failures).toHaveProperty([
      "apply taps under the plugin's id and does nothing else",
    ]);
  });

  it.each<[string, string, Apply]>([
    [
      "guestConfig",
      "that writes to its input",
      (hooks) => {
        hooks.guestConfig.tap("sample", (guest) => {
          (guest.files as Record<string, unknown>)["/x"] = {
            kind: "directory",
            mode: 1,
          };
          return guest;
        });
      },
    ],
    [
      "guestConfig",
      "with another answer each time",
      (hooks) => {
        hooks.guestConfig.tap("sample", (guest) => ({
          ...guest,
          files: {
            ...guest.files,
            "/x": { kind: "file", mode: 1, content: String(Math.random()) },
          },
        }));
      },
    ],
    [
      "machineConfig",
      "that drops what it does not know",
      (hooks) => {
        hooks.machineConfig.tap(
          "sample",
          ({
            vcpus,
            memoryMiB,
            drives,
            nics,
            egress,
            kernelArgs,
            channels,
          }) => ({
            vcpus,
            memoryMiB,
            drives,
            nics,
            egress,
            kernelArgs,
            channels,
          }),
        );
      },
    ],
    [
      "machineConfig",
      "that makes a file",
      (hooks) => {
        hooks.machineConfig.tapPromise("sample", async (machine, { vm }) => {
          await writeFile(`${vm.runtime.directory}/made`, "");
          return machine;
        });
      },
    ],
  ])("finds a %s %s", async (hook, _what, apply) => {
    expect(Object.keys(await failuresOf(sample(apply)))).toEqual([
      `${hook} is pure`,
    ]);
  });

  it("finds preparation that adds up", async () => {
    let count = 0;
    const apply: Apply = (hooks, { commands }) => {
      const names: string[] = [];
      hooks.prepareHost.tapPromise("sample", async ({ vm, signal }) => {
        names.push(`${ruleName(vm)}-${String(++count)}`);
        await rule(commands, "add", names.at(-1)!, signal);
      });
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(failures).toHaveProperty(["preparing twice equals once"]);
  });

  it("finds cleanup that leaves something", async () => {
    const apply: Apply = (hooks, { commands }) => {
      hooks.prepareHost.tapPromise("sample", ({ vm, signal }) =>
        rule(commands, "add", ruleName(vm), signal).then(() => undefined),
      );
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(failures).toHaveProperty([
      "cleanup leaves nothing, and is fine twice",
    ]);
    expect(failures).toHaveProperty([faults]);
  });

  it("finds cleanup that only knows what this daemon has made", async () => {
    const apply: Apply = (hooks, { commands }) => {
      const made: string[] = [];
      hooks.prepareHost.tapPromise("sample", async ({ vm, signal }) => {
        made.push(ruleName(vm));
        await rule(commands, "add", ruleName(vm), signal);
      });
      hooks.cleanup.tapPromise("sample", async ({ signal }) => {
        for (const name of made) await rule(commands, "remove", name, signal);
      });
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(failures).toHaveProperty([
      "cleanup leaves nothing, and is fine twice",
    ]);
  });

  it("finds cleanup that relies on preparation having ended", async () => {
    const apply: Apply = (hooks, { commands }) => {
      hooks.prepareHost.tapPromise(
        "sample",
        async ({ vm, signal, teardown }) => {
          await rule(commands, "add", ruleName(vm), signal);
          await teardown.save(ruleName(vm));
        },
      );
      hooks.cleanup.tapPromise("sample", async ({ signal, teardown }) => {
        const name = await teardown.load();
        if (typeof name === "string")
          await rule(commands, "remove", name, signal);
      });
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(Object.keys(failures)).toContain(faults);
    expect(failures[faults]).toContain("leaves something on the host");
  });

  it("finds cleanup that fails with nothing there, and a second time", async () => {
    const apply: Apply = (hooks) => {
      hooks.prepareHost.tapPromise("sample", async ({ vm }) => {
        await mkdir(`${vm.runtime.directory}/stage`, { recursive: true });
      });
      hooks.cleanup.tapPromise("sample", ({ vm }) =>
        rm(`${vm.runtime.directory}/stage`, { recursive: true }),
      );
    };
    const failures = await failuresOf(sample(apply));
    expect(failures).toHaveProperty([
      "cleanup is fine with nothing there, and twice",
    ]);
    expect(failures).toHaveProperty([
      "cleanup leaves nothing, and is fine twice",
    ]);
  });

  it("finds a half-made file under its final name, and accepts a whole one", async () => {
    const apply =
      (isCareful: boolean): Apply =>
      (hooks, { commands }) => {
        hooks.prepareHost.tapPromise("sample", async ({ vm, signal }) => {
          const path = `${vm.runtime.directory}/disk`;
          if (!isCareful) await writeFile(path, "half");
          await rule(commands, "remove", "x", signal);
          await writeFile(path, "whole");
        });
      };
    const failures = await failuresOf(sample(apply(false)), { arrange });
    expect(failures[faults]).toContain("disk half-made");
    expect(await failuresOf(sample(apply(true)), { arrange })).toEqual({});
  });

  it("finds commands without a signal, and a cancel that is ignored", async () => {
    const apply: Apply = (hooks, { commands }) => {
      hooks.prepareHost.tapPromise("sample", async () => {
        const command = {
          file: "rule",
          args: ["remove", "x"],
          timeoutMs: 1000,
        };
        await commands.run(command);
        await commands.run(command);
      });
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(Object.keys(failures).sort()).toEqual(
      [
        abortBefore,
        abortInside,
        "every command has a signal and a time limit",
      ].sort(),
    );
  });

  it("finds a cancel that is swallowed", async () => {
    const apply: Apply = (hooks, { commands }) => {
      hooks.prepareHost.tapPromise("sample", async ({ vm, signal }) => {
        throwIfCancelled(signal, "sample");
        await rule(commands, "remove", "x", signal).catch(() => undefined);
        await rule(commands, "remove", ruleName(vm), signal).catch(
          () => undefined,
        );
      });
    };
    const failures = await failuresOf(sample(apply), { arrange });
    expect(Object.keys(failures)).toEqual([abortInside]);
  });

  it("finds a change that is no change and yet does something", async () => {
    const apply: Apply = (hooks, { commands }) => {
      hooks.configChange.tapPromise("sample", (_before, after, { signal }) =>
        rule(commands, "add", ruleName(after), signal).then(() => undefined),
      );
    };
    expect(Object.keys(await failuresOf(sample(apply), { arrange }))).toEqual([
      "an equal config changes nothing",
    ]);
  });

  it.each<[string, Apply]>([
    [
      "throws without tools",
      (hooks, { commands }) => {
        hooks.doctor.tapPromise("sample", async ({ signal }) => {
          await rule(commands, "list", "", signal);
        });
      },
    ],
    [
      "repeats an id",
      (hooks) => {
        hooks.doctor.tap("sample", ({ report }) => {
          report({
            id: "sample.all",
            title: "again",
            status: "pass",
            detail: "seen",
          });
        });
      },
    ],
    [
      "has an id of somebody else",
      (hooks) => {
        hooks.doctor.tap("sample", ({ report }) => {
          report({
            id: "other.all",
            title: "all",
            status: "pass",
            detail: "seen",
          });
        });
      },
    ],
    [
      "has an id that changes",
      (hooks) => {
        let count = 0;
        hooks.doctor.tap("sample", ({ report }) => {
          report({
            id: `sample.n${String(++count)}`,
            title: "n",
            status: "pass",
            detail: "seen",
          });
        });
      },
    ],
  ])("finds a doctor that %s", async (_what, apply) => {
    expect(Object.keys(await failuresOf(sample(apply), { arrange }))).toEqual([
      "doctor reads only, under stable ids, and survives missing tools",
    ]);
  });

  it("finds a plugin without checks, and a preflight that throws without tools", async () => {
    const plugin = definePlugin({
      id: "sample",
      inject: ["commands"],
      apply(hooks, { commands }) {
        hooks.preflight.tapPromise("sample", async ({ signal }) => {
          await rule(commands, "list", "", signal);
        });
      },
    });
    expect(Object.keys(await failuresOf(plugin, { arrange })).sort()).toEqual([
      "doctor reads only, under stable ids, and survives missing tools",
      "preflight reads only and survives missing tools",
    ]);
  });
});
