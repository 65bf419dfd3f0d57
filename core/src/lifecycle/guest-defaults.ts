import { createHash } from "node:crypto";
import type { GuestConfig, GuestNetwork } from "../model/guest-config.js";
import type {
  Nic,
  MachineConfig,
  Drive,
  Channel,
} from "../model/machine-config.js";
import type { VmRecord } from "../model/vm.js";

/** File in the guest that lists the keys which may log in, whatever is mounted at /root. */
export const authorizedKeysPath = "/etc/ssh/banger_authorized_keys";

/** The guest configuration before any plugin: identity, name, network, and the way in. Pure. */
export function guestDefaults(input: {
  vm: VmRecord;
  network: GuestNetwork;
  authorizedKey: string;
  hostKey: { privateKey: string; publicKey: string };
}): GuestConfig {
  const { vm, network, authorizedKey, hostKey } = input;
  const file = (content: string, mode = 0o644) =>
    ({ kind: "file", content, mode }) as const;
  // Stable over restarts of one VM and different between VMs; machine-id(5) asks for 32 hexadecimal digits.
  const machineId = createHash("sha256")
    .update(`banger:${vm.id}`)
    .digest("hex")
    .slice(0, 32);
  return {
    hostname: vm.name,
    network,
    files: {
      "/etc/hostname": file(`${vm.name}\n`),
      "/etc/hosts": file(
        `127.0.0.1 localhost\n127.0.1.1 ${vm.runtime.dnsName} ${vm.name}\n::1 localhost ip6-localhost ip6-loopback\n`,
      ),
      "/etc/machine-id": file(`${machineId}\n`, 0o444),
      [authorizedKeysPath]: file(`${authorizedKey}\n`),
      "/etc/ssh/ssh_host_ed25519_key": file(hostKey.privateKey, 0o600),
      "/etc/ssh/ssh_host_ed25519_key.pub": file(`${hostKey.publicKey}\n`),
    },
    mounts: {},
    units: {},
    archives: {},
  };
}

/** Lets the guest ask its network's name servers, unless a plugin has said whom it is to ask. Pure. */
export function withNameservers(guest: GuestConfig): GuestConfig {
  const path = "/etc/resolv.conf";
  if (Object.hasOwn(guest.files, path)) return guest;
  const content = guest.network.nameservers
    .map((ip) => `nameserver ${ip}\n`)
    .join("");
  const file = { kind: "file", content, mode: 0o644 } as const;
  return { ...guest, files: { ...guest.files, [path]: file } };
}

/** Name of the guest agent's port, as qemu-guest-agent looks for it. */
export const agentChannel = "org.qemu.guest_agent.0";

/** Id of the interface that every guest has. */
export const firstNic = "net0";

/** The machine before any plugin. Pure. */
export function machineDefaults(input: {
  vm: VmRecord;
  rootDrive: Drive;
  nic: Nic;
  agent: Channel;
}): MachineConfig {
  const { vm, rootDrive, nic, agent } = input;
  return {
    vcpus: vm.spec.vcpus,
    memoryMiB: vm.spec.memoryMiB,
    drives: { root: rootDrive },
    nics: { [firstNic]: nic },
    egress: {},
    kernelArgs: {},
    channels: { [agentChannel]: agent },
  };
}
