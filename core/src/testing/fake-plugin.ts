import { firstNic } from "../lifecycle/guest-defaults.js";
import { definePlugin, type Plugin } from "../plugins/define-plugin.js";
import type { FakeHost } from "./fake-host.js";
import { fakeThings } from "./fake-host-state.js";

/**
 * A plugin that makes one thing for every VM, by the rules: saved before made, removed from what was saved. It asks the host by a
 * program of its own name in every hook that may.
 */
export function fakePlugin(
  host: FakeHost,
  id = "fake",
  options: {
    /** opens the way out for VMs that want it, on live ones too: a second thing */
    readonly opensEgress?: boolean;
  } = {},
): Plugin {
  const { things } = host;
  const { opensEgress = false } = options;
  host.commands.install(id, ({ args: [, verb], input }) => {
    for (const thing of String(input ?? "").split("\n"))
      if (verb === "add") things.add(thing);
      else if (verb === "remove") things.delete(thing);
    return undefined;
  });
  return definePlugin({
    id,
    inject: ["commands"],
    apply(hooks, { commands }) {
      const run = async (
        signal: AbortSignal,
        hook: string,
        verb?: "add" | "remove",
        ...names: readonly string[]
      ): Promise<void> => {
        const args = verb === undefined ? [hook] : [hook, verb];
        const input = names.join("\n");
        await commands.run({ file: id, args, input, signal, timeoutMs: 1_000 });
      };
      hooks.preflight.tapPromise(id, ({ signal }) => run(signal, "preflight"));
      hooks.prepareHost.tapPromise(id, async ({ vm, signal, teardown }) => {
        const thing = fakeThings.ofPlugin(id, vm.id);
        await teardown.save(thing);
        await run(signal, "prepareHost", "add", thing);
      });
      hooks.postStart.tapPromise(id, ({ signal }) => run(signal, "postStart"));
      hooks.cleanup.tapPromise(id, async ({ vm, signal, teardown }) => {
        const thing = await teardown.load();
        const names = typeof thing === "string" ? [thing] : [];
        if (opensEgress) names.push(fakeThings.egress(id, vm.id));
        await run(signal, "cleanup", "remove", ...names);
      });
      hooks.doctor.tapPromise(id, async ({ signal, report }) => {
        await run(signal, "doctor");
        const title = "the program answers";
        report({ id: `${id}.program`, title, status: "pass", detail: id });
      });
      if (!opensEgress) return;
      hooks.machineConfig.tap(id, (machine, { vm }) =>
        vm.spec.nat
          ? { ...machine, egress: { ...machine.egress, [firstNic]: "open" } }
          : machine,
      );
      hooks.prepareHost.tapPromise(`${id}:egress`, async ({ vm, signal }) => {
        if (vm.spec.nat)
          await run(signal, "open", "add", fakeThings.egress(id, vm.id));
      });
      hooks.configChange.tapPromise(id, async (before, after, context) => {
        const { live, signal } = context;
        if (!live || before.spec.nat === after.spec.nat) return;
        const thing = fakeThings.egress(id, after.id);
        const change = (wanted: boolean, until: AbortSignal): Promise<void> =>
          run(until, "configChange", wanted ? "add" : "remove", thing);
        try {
          await change(after.spec.nat, signal);
        } catch (error) {
          // Who refuses has changed nothing.
          await change(before.spec.nat, new AbortController().signal);
          throw error;
        }
      });
    },
  });
}
