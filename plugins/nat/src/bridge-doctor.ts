import {
  isBangerError,
  type Check,
  type Privileged,
  type VmId,
} from "@banger/core";
import { readStatus } from "./privileged.js";

/**
 * What is on the host for guests on a bridge. The ids are always the same.
 * @param options.problem what speaks against asking at all
 */
export async function bridgeChecks({
  problem,
  privileged,
  vmIds,
  signal,
}: {
  readonly problem:
    { readonly detail: string; readonly fix: string } | undefined;
  readonly privileged: Privileged;
  readonly vmIds: () => Promise<readonly VmId[]>;
  readonly signal: AbortSignal;
}): Promise<readonly Check[]> {
  const firewall = { id: "nat.firewall", title: "firewall and forwarding" };
  const stale = { id: "nat.stale", title: "rules of VMs that are gone" };
  const unknown = {
    ...stale,
    status: "warn",
    detail: "not looked at, as the firewall cannot be",
  } as const;
  if (problem) return [{ ...firewall, status: "fail", ...problem }, unknown];
  try {
    const status = await privileged.request(readStatus, {}, signal);
    const known = await vmIds();
    const gone = status.vms.filter(({ id }) => !known.includes(id));
    return [
      firewallCheck(firewall, status),
      gone.length === 0
        ? { ...stale, status: "pass", detail: "there are none" }
        : {
            ...stale,
            status: "warn",
            detail: `there are rules of ${gone.map(({ id }) => id).join(", ")}`,
            fix: gone.map(({ removal }) => removal).join("\n"),
          },
    ];
  } catch (error) {
    if (!isBangerError(error)) throw error;
    return [
      {
        ...firewall,
        status: "fail",
        detail: error.message,
        ...(error.hint === undefined ? {} : { fix: error.hint }),
      },
      unknown,
    ];
  }
}

function firewallCheck(
  check: Pick<Check, "id" | "title">,
  status: {
    readonly backend: string;
    readonly isForwarding: boolean;
    readonly hasFirewalld: boolean;
  },
): Check {
  const forwarding = status.isForwarding
    ? "on"
    : "off; the first VM with NAT switches it on, and with it that between the host's other devices";
  const detail = `translation by ${status.backend}, which is what the host uses; IPv4 forwarding of the host is ${forwarding}`;
  if (!status.hasFirewalld) return { ...check, status: "pass", detail };
  return {
    ...check,
    status: "warn",
    detail: `${detail}; firewalld is active and drops what it does not know, whatever our rules accept`,
    fix: "firewall-cmd --permanent --zone=trusted --add-interface=br-fc && firewall-cmd --reload",
  };
}
