import {
  SlotConflictError,
  type Accel,
  type MachineConfig,
} from "@banger/core";

/** Arguments that every guest of ours gets; drivers and plugins add keys of their own. */
const everyGuest: MachineConfig["kernelArgs"] = {
  console: "ttyS0",
  quiet: true,
  panic: "-1",
  "net.ifnames": "0",
  "random.trust_cpu": "on",
  "8250.nr_uarts": "1",
  audit: "0",
};

/**
 * Emulation is no isolation boundary, and its guests are slow: they skip what protects one guest process from another and the
 * kernel's tests of itself.
 */
const emulated: MachineConfig["kernelArgs"] = {
  mitigations: "off",
  nokaslr: true,
  no_timer_check: true,
  tsc: "reliable",
  nowatchdog: true,
  "cryptomgr.notests": true,
};

/**
 * The kernel's command line. Pure.
 * @param driver arguments that the VMM needs
 * @throws SlotConflictError when a plugin wants an argument that is our own
 */
export function kernelCommandLine(
  machine: MachineConfig,
  accel: Accel,
  driver: MachineConfig["kernelArgs"] = {},
): string {
  const own = {
    ...everyGuest,
    ...driver,
    ...(accel === "emulate" ? emulated : {}),
  };
  // Without `panic=-1` a panic would go unseen, without `console` there would be no log.
  for (const key of Object.keys(machine.kernelArgs))
    if (Object.hasOwn(own, key))
      throw new SlotConflictError("kernelArgs", key, "banger", "PLUGIN");
  return renderKernelArguments({ ...own, ...machine.kernelArgs });
}

/** Pure. */
export function renderKernelArguments(
  args: MachineConfig["kernelArgs"],
): string {
  return Object.entries(args)
    .map(([key, value]) => (value === true ? key : `${key}=${value}`))
    .join(" ");
}
