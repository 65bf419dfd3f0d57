import {
  isBangerError,
  JoinedError,
  KeyedLock,
  type Check,
  type CommandRunner,
  type Finding,
  type GuestEgress,
  type Logger,
  type Privileged,
  type VmHandles,
  type VmId,
  type VmRecord,
} from "@banger/core";
import type { AllowList } from "./allow-list.js";
import { bridgeChecks } from "./bridge-doctor.js";
import { findDefaultRoute } from "./default-route.js";
import type { EgressMode } from "./egress-mode.js";
import { GuestPolicy } from "./guest-policy.js";
import { ensureGuest, removeGuest } from "./privileged.js";
import { UplinkWatch } from "./uplink-watch.js";

/** The programs of Debian's packages nftables, iproute2 and procps; iptables is used where the host uses it. */
const programs = ["nft", "ip", "sysctl"];

/** A guest whose rules are to follow the way out. */
interface Leaving {
  readonly vm: VmRecord;
  readonly uplink: string | undefined;
}

/** Guests on a bridge of the host: the kernel forwards and translates, and this plugin says what. */
export class BridgeEgress implements EgressMode {
  readonly mode = "bridge";
  readonly summary =
    "the kernel forwards and translates, by rules of our own (nftables table inet banger-nat, iptables chains BANGER-…), past the fence of the network";
  readonly fixedBecause = "the network mode does not allow it";
  readonly enforcesAllow = true;
  readonly #commands: CommandRunner;
  readonly #privileged: Privileged;
  readonly #allow: AllowList | undefined;
  readonly #policy: GuestPolicy;
  readonly #undecide: () => void;
  readonly #watch: UplinkWatch;
  readonly #leaving = new Map<VmId, Leaving>();
  /** What follows the way out must not open what has just been closed. */
  readonly #locks = new KeyedLock();

  /** @param deps.allow everything when absent */
  constructor(deps: {
    readonly commands: CommandRunner;
    readonly privileged: Privileged;
    readonly guestEgress: GuestEgress;
    readonly logger: Logger;
    readonly allow: AllowList | undefined;
    /** between two looks at the way out; default: five seconds */
    readonly pauseMs?: number;
  }) {
    this.#commands = deps.commands;
    this.#privileged = deps.privileged;
    this.#allow = deps.allow;
    this.#policy = new GuestPolicy(deps);
    this.#undecide = deps.guestEgress.decide(this.#policy);
    this.#watch = new UplinkWatch({
      logger: deps.logger,
      look: (signal) => this.#follow(signal),
      ...(deps.pauseMs === undefined ? {} : { pauseMs: deps.pauseMs }),
    });
  }

  async close(): Promise<void> {
    this.#undecide();
    await this.#watch.stop();
  }

  async findUplink(signal: AbortSignal): Promise<string | undefined> {
    try {
      return await findDefaultRoute(this.#commands, signal);
    } catch (error) {
      const expected = ["ERR_TOOL_MISSING", "ERR_COMMAND_FAILED"];
      if (isBangerError(error) && expected.includes(error.code))
        return undefined;
      throw error;
    }
  }

  async findings(): Promise<readonly Finding[]> {
    const problem = await this.#problem();
    if (problem === undefined) return [];
    const { detail: message, fix } = problem;
    return [{ id: "nat.firewall", severity: "error", message, fix }];
  }

  async apply(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.#locks.run(vm.id, signal, async () => {
      this.#policy.admit(vm);
      if (vm.spec.nat) this.#leaving.set(vm.id, { vm, uplink: undefined });
      else this.#leaving.delete(vm.id);
      await this.#ensure(vm, signal);
      if (vm.spec.nat) this.#watch.start();
    });
  }

  async remove(
    vm: VmRecord,
    handles: VmHandles | undefined,
    logger: Logger,
    signal: AbortSignal,
  ): Promise<void> {
    const { guestIp } = vm.runtime;
    const tapDevice = handles?.tapDevice ?? vm.runtime.tapDevice;
    if (tapDevice === undefined && guestIp === "") {
      logger.debug(
        "No rules to remove: neither TAP device nor address was ever known",
      );
      return;
    }
    await this.#locks.run(vm.id, signal, async () => {
      this.#policy.forget(vm);
      this.#leaving.delete(vm.id);
      await this.#privileged.request(removeGuest, { id: vm.id }, signal);
    });
  }

  async check(
    vmIds: () => Promise<readonly VmId[]>,
    signal: AbortSignal,
  ): Promise<readonly Check[]> {
    return bridgeChecks({
      problem: await this.#problem(),
      privileged: this.#privileged,
      vmIds,
      signal,
    });
  }

  async #ensure(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const { tapDevice, guestIp } = vm.runtime;
    const { uplink } = await this.#privileged.request(
      ensureGuest,
      {
        id: vm.id,
        tapDevice: tapDevice ?? "",
        guestIp,
        open: vm.spec.nat,
        ...(this.#allow
          ? {
              allow: {
                always: [...this.#allow.always],
                byName: this.#allow.byName,
              },
            }
          : {}),
      },
      signal,
    );
    if (vm.spec.nat) this.#leaving.set(vm.id, { vm, uplink });
  }

  /** Brings every guest that may leave to the way out that the host has now. */
  async #follow(signal: AbortSignal): Promise<void> {
    if (this.#leaving.size === 0) return;
    const uplink = await findDefaultRoute(this.#commands, signal);
    const failures: unknown[] = [];
    for (const [id, before] of this.#leaving)
      if (before.uplink !== uplink)
        await this.#locks
          .run(id, signal, async () => {
            const { vm } = this.#leaving.get(id) ?? {};
            if (vm) await this.#ensure(vm, signal);
          })
          // One guest that is just going must not keep the others from the new way.
          .catch((error: unknown) => failures.push(error));
    if (failures.length > 0)
      throw new JoinedError("not every guest follows", failures);
  }

  async #problem(): Promise<
    { readonly detail: string; readonly fix: string } | undefined
  > {
    const found = await Promise.all(
      programs.map((program) => this.#commands.find(program)),
    );
    const missing = programs.filter((_, index) => found[index] === undefined);
    if (missing.length > 0)
      return {
        detail: `missing for guests on a bridge: ${missing.join(", ")}`,
        fix: "apt-get install -y --no-install-recommends nftables iproute2 procps",
      };
    const error = await this.#privileged.problem();
    if (!error) return undefined;
    return {
      detail: `firewall rules for guests on a bridge: ${error.message}`,
      fix:
        error.hint ??
        'Set mode = "user" in section [network] of the configuration',
    };
  }
}
