// What the plugin framework adds to a hook.
import { join } from "node:path";
import { root } from "./install.mjs";
import { interleave, table } from "./measure.mjs";

export async function hookDispatch() {
  const core = await import(join(root, "core/dist/index.js"));
  const { createHooks } = core;
  const quiet = {
    debug() {},
    info() {},
    warn() {},
    error() {},
    child: () => quiet,
  };
  const plugins = ["a", "b", "c", "d"].map((id) => ({
    plugin: core.definePlugin({
      id,
      apply(hooks) {
        hooks.prepareHost.tapPromise(id, () => Promise.resolve());
      },
    }),
    services: {},
  }));
  const set = new core.PluginSet(
    plugins.map(({ plugin }) => plugin.id),
    core.composeHooks(plugins, []),
    {},
  );
  const bare = createHooks();
  for (const id of ["a", "b", "c", "d"])
    bare.prepareHost.tapPromise(id, () => Promise.resolve());
  const count = 10_000;
  const results = await interleave(5, {
    "bare tapable, 4 taps": async () => {
      for (let i = 0; i < count; i++) await bare.prepareHost.promise({});
    },
    "prepareHost through PluginSet": async () => {
      for (let i = 0; i < count; i++) {
        const caller = core.beginOperation({
          logger: quiet,
          signal: new AbortController().signal,
        });
        await set.prepareHost({}, {}, caller);
      }
    },
  });
  table(`${count} hook dispatches`, results, "bare tapable, 4 taps");
}
