import { definePrivilegedRequest } from "@banger/core";
import { z } from "zod";
import { guestInput, permitInput, vmId } from "./root/guest.js";
import { HostRules } from "./root/host-rules.js";
import { recordedRefusal } from "./root/recorded-refusal.js";

/** Waits for other programs' changes of the firewall included, ms. */
const timeoutMs = 60_000;

const nothing = z.strictObject({});
const ofVm = z.strictObject({ id: vmId });

/**
 * Brings the rules of one guest to what is wanted. Bridge, subnet and way out are the kernel's word, and a bridge of another install is
 * refused: who asks says which TAP device and which address.
 */
export const ensureGuest = definePrivilegedRequest({
  name: "nat.ensure",
  input: guestInput,
  /** the way out that it has now */
  output: z.strictObject({ uplink: z.string().exactOptional() }),
  timeoutMs,
  run: (input, context) => new HostRules(context).ensure(input),
});

/** Removes the rules of one VM of this install, by its id alone. */
export const removeGuest = definePrivilegedRequest({
  name: "nat.remove",
  input: ofVm,
  output: nothing,
  timeoutMs,
  run: async ({ id }, context) => {
    await new HostRules(context).remove(id);
    return {};
  },
});

/** Removes the rules of every VM of this install, when the install goes. Idempotent. */
export const removeAll = definePrivilegedRequest({
  name: "nat.uninstall",
  input: nothing,
  output: nothing,
  timeoutMs,
  run: async (_input, context) => {
    const rules = new HostRules(context);
    for (const { id } of (await rules.status()).vms) await rules.remove(id);
    return {};
  },
});

/** Opens addresses that a name has led a guest to, for a time. */
export const permitAddresses = definePrivilegedRequest({
  name: "nat.permit",
  input: permitInput,
  output: nothing,
  timeoutMs: 10_000,
  run: async (input, context) => {
    await new HostRules(context).permit(input);
    return {};
  },
});

/** What one VM was refused. Reads only. */
export const readRefusals = definePrivilegedRequest({
  name: "nat.refusals",
  input: ofVm,
  output: z.strictObject({ refusals: z.array(recordedRefusal) }),
  timeoutMs,
  run: async ({ id }, context) => ({
    refusals: [...(await new HostRules(context).refusals(id))],
  }),
});

/** What of this install is on the host. Reads only. */
export const readStatus = definePrivilegedRequest({
  name: "nat.status",
  input: nothing,
  output: z.strictObject({
    backend: z.enum(["iptables", "nftables"]),
    isForwarding: z.boolean(),
    hasFirewalld: z.boolean(),
    vms: z.array(z.strictObject({ id: vmId, removal: z.string() })),
  }),
  timeoutMs,
  run: async (_input, context) => {
    const { vms, ...status } = await new HostRules(context).status();
    return { ...status, vms: [...vms] };
  },
});
