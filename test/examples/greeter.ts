import { definePlugin, type Plugin } from "@banger/core";

/** Greets whoever opens a shell. */
export const plugin: Plugin = definePlugin({
  id: "greeter",
  apply(hooks) {
    hooks.guestConfig.tap("greeter", (guest, { vm }) => {
      const content = `echo 'This is ${vm.name}. Nothing here lasts.'\n`;
      const script = { kind: "file", content, mode: 0o644 } as const;
      const files = { "/etc/profile.d/greeter.sh": script };
      return { ...guest, files: { ...guest.files, ...files } };
    });
  },
});
