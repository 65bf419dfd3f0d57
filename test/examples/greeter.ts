import { definePlugin, type Plugin } from "@banger/core";

/** Greets whoever opens a shell. */
export const plugin: Plugin = definePlugin({
  id: "greeter",
  apply(hooks) {
    hooks.guestConfig.tap("greeter", (guest, { vm }) => {
      const content = `echo 'This is ${vm.name}. Break what you like.'\n`;
      const script = { kind: "file", content, mode: 0o644 } as const;
      const files = { ...guest.files, "/etc/profile.d/greeter.sh": script };
      return { ...guest, files };
    });
    const detail = "it needs nothing of the host";
    const check = { id: "greeter.needs", title: "greeter", detail } as const;
    hooks.doctor.tap("greeter", (doctor) => {
      doctor.report({ ...check, status: "pass" });
    });
  },
});
