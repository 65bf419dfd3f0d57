import type { GuestAgent, GuestSsh } from "../contracts/guest.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import { describeError } from "../errors.js";
import { throwIfCancelled } from "../lifecycle/operation.js";
import { withinLimit } from "../lifecycle/waiting.js";
import type { Check } from "../model/check.js";
import type { VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";

/** How long the guest's agent may take to answer, ms. */
const agentLimitMs = 5_000;
/** How long a command in the guest may take, ms; a lost connection is opened anew within it. */
const sshLimitMs = 20_000;
/** How far a guest's clock may be off before certificates and builds begin to mind, ms. */
const clockLimitMs = 2_000;
/** How long a call may take to end after its limit, ms. */
const graceMs = 500;

/** Looks at a VM from outside and inside, all at once; changes nothing. @throws CancelledError */
export type CheckHealth = (
  vm: VmRecord,
  signal: AbortSignal,
) => Promise<readonly Check[]>;

/** What a look found out. */
type Seen = Pick<Check, "status" | "detail" | "fix">;

export function createCheckHealth(deps: {
  findVmm: FindVmm;
  guestAgent: GuestAgent;
  guestSsh: GuestSsh;
  portForwards: PortForwards;
}): CheckHealth {
  const { findVmm, guestAgent, guestSsh, portForwards } = deps;

  const lookAtVmm = async (vm: VmRecord): Promise<Seen> => {
    const handles = await findVmm(vm);
    return handles
      ? { status: "pass", detail: `process ${String(handles.pid)}` }
      : { status: "fail", detail: "there is no such process" };
  };

  const askAgent = async (vm: VmRecord, signal: AbortSignal): Promise<Seen> => {
    const ms = await guestAgent.ping(vm, signal);
    return { status: "pass", detail: `answers in ${ms.toFixed(0)} ms` };
  };

  const askClock = async (vm: VmRecord, signal: AbortSignal): Promise<Seen> => {
    const offsetMs = await guestAgent.clockOffset(vm, signal);
    const seconds = (Math.abs(offsetMs) / 1000).toFixed(1);
    return Math.abs(offsetMs) <= clockLimitMs
      ? { status: "pass", detail: `within ${seconds} s of the host's` }
      : {
          status: "warn",
          detail: `${seconds} s ${offsetMs > 0 ? "ahead of" : "behind"} the host's`,
        };
  };

  const runCommand = async (
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<Seen> => {
    const guest = await guestSsh.exec(vm, { argv: ["true"] }, signal);
    guest.stdin.end();
    guest.stdout.resume();
    guest.stderr.resume();
    const { exitCode } = await guest.exit;
    return exitCode === 0
      ? { status: "pass", detail: "runs a command" }
      : { status: "fail", detail: "cannot run a command" };
  };

  const lookAtForwards = (vm: VmRecord): Seen => {
    const listening = portForwards.listening(vm);
    const missing = (vm.runtime.forwards ?? []).filter(
      ({ port }) => !listening.some((open) => open.port === port),
    );
    const ports = missing.map(
      ({ address, port }) => `${address}:${String(port)}`,
    );
    return missing.length === 0
      ? { status: "pass", detail: `${String(listening.length)} listen` }
      : { status: "fail", detail: `not listening: ${ports.join(", ")}` };
  };

  return async (vm, signal) => {
    const { name } = vm;
    const restart = `banger vm restart ${name}`;
    const guestLimits = { graceMs, owner: signal };
    const checks = await Promise.all([
      check("vm.vmm", "VMM process", restart, () => lookAtVmm(vm)),
      check("vm.agent", "guest agent", `banger vm logs ${name}`, () =>
        withinLimit(
          { what: "a ping", limitMs: agentLimitMs, ...guestLimits },
          (limit) => askAgent(vm, limit),
        ),
      ),
      check(
        "vm.clock",
        "clock",
        `banger vm exec ${name} -- date -s @$(date +%s)`,
        () =>
          withinLimit(
            { what: "the time", limitMs: agentLimitMs, ...guestLimits },
            (limit) => askClock(vm, limit),
            // Nothing is known of the clock, and the check of the agent says why.
          ).catch((): Seen => ({
            status: "warn",
            detail: "the guest does not say",
            fix: `banger vm logs ${name}`,
          })),
      ),
      check("vm.ssh", "SSH", `banger vm logs ${name}`, () =>
        withinLimit(
          { what: "a command", limitMs: sshLimitMs, ...guestLimits },
          (limit) => runCommand(vm, limit),
        ),
      ),
      check("vm.record", "record", restart, () =>
        Promise.resolve(lookAtRecord(vm)),
      ),
      check("vm.forwards", "published ports", restart, () =>
        Promise.resolve(lookAtForwards(vm)),
      ),
    ]);
    throwIfCancelled(signal, "looking at a VM's health");
    return checks;
  };
}

function lookAtRecord({
  runtime: { problems = [], lastError },
}: VmRecord): Seen {
  const lines = [...problems, ...(lastError === undefined ? [] : [lastError])];
  return lines.length === 0
    ? { status: "pass", detail: "no problem is known" }
    : { status: "fail", detail: lines.join("; ") };
}

/** A look that throws has failed, and the error is what it saw. */
async function check(
  id: string,
  title: string,
  fix: string,
  look: () => Promise<Seen>,
): Promise<Check> {
  const seen = await look().catch((error: unknown): Seen => ({
    status: "fail",
    detail: describeError(error),
  }));
  return { id, title, ...(seen.status === "pass" ? {} : { fix }), ...seen };
}
