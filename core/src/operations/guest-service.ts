import type {
  AgentCommand,
  AgentOutput,
  GuestAgent,
} from "../contracts/guest.js";
import type { GuestEgress, VmRefusals } from "../contracts/guest-egress.js";
import type { GuestPorts } from "../contracts/guest-ports.js";
import type { HostResolver } from "../contracts/host-resolver.js";
import type { Network } from "../contracts/network.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { Check, VmHealth } from "../model/check.js";
import {
  reachablePort,
  renderEndpoint,
  type WaysIn,
} from "../model/endpoint.js";
import type {
  PortForward,
  PublishedPort,
  ReachablePort,
} from "../model/port.js";
import type { VmStats } from "../model/stats.js";
import type { VmRecord } from "../model/vm.js";
import type { CheckHealth } from "./check-health.js";
import type { CollectStats } from "./collect-stats.js";
import { VmStateError } from "./operation-errors.js";
import type { ForwardRequest, PublishPorts } from "./publish-ports.js";
import type { VmService } from "./vm-service.js";

/** What callers ask of running guests, by reference. A slow guest holds up nobody else: nothing here waits for one under a lock. */
export class GuestService {
  readonly #vmService: VmService;
  readonly #guestAgent: GuestAgent;
  readonly #guestEgress: GuestEgress;
  readonly #guestPorts: GuestPorts;
  readonly #hostResolver: HostResolver;
  readonly #network: Network;
  readonly #portForwards: PortForwards;
  readonly #checkHealth: CheckHealth;
  readonly #collectStats: CollectStats;
  readonly #publishPorts: PublishPorts;

  constructor(deps: {
    vmService: VmService;
    guestAgent: GuestAgent;
    guestEgress: GuestEgress;
    guestPorts: GuestPorts;
    hostResolver: HostResolver;
    network: Network;
    portForwards: PortForwards;
    checkHealth: CheckHealth;
    collectStats: CollectStats;
    publishPorts: PublishPorts;
  }) {
    this.#vmService = deps.vmService;
    this.#guestAgent = deps.guestAgent;
    this.#guestEgress = deps.guestEgress;
    this.#guestPorts = deps.guestPorts;
    this.#hostResolver = deps.hostResolver;
    this.#network = deps.network;
    this.#portForwards = deps.portForwards;
    this.#checkHealth = deps.checkHealth;
    this.#collectStats = deps.collectStats;
    this.#publishPorts = deps.publishPorts;
  }

  /**
   * Round trip to the guest's agent, ms.
   * @throws VmStateError, or the agent's failure
   */
  async ping(reference: string, signal: AbortSignal): Promise<number> {
    const vm = await this.#vmService.getRunning(reference);
    return this.#guestAgent.ping(vm, signal);
  }

  /**
   * Runs a process through the guest's agent, which needs neither network nor SSH.
   * @throws VmStateError, or the agent's failure
   */
  async execByAgent(
    reference: string,
    command: AgentCommand,
    signal: AbortSignal,
  ): Promise<AgentOutput> {
    const vm = await this.#vmService.getRunning(reference);
    return this.#guestAgent.exec(vm, command, signal);
  }

  /** One that does not run is not healthy, and is not looked at further. */
  async health(reference: string, signal: AbortSignal): Promise<VmHealth> {
    const vm = await this.#vmService.get(reference);
    const state = checkState(vm);
    const checks =
      state.status === "pass"
        ? [state, ...(await this.#checkHealth(vm, signal))]
        : [state];
    return { healthy: checks.every(({ status }) => status !== "fail"), checks };
  }

  /**
   * What listens in the guest and where the host reaches it, by protocol and port.
   * @throws VmStateError, GuestConnectionError
   */
  async ports(
    reference: string,
    signal: AbortSignal,
  ): Promise<readonly ReachablePort[]> {
    const vm = await this.#vmService.getRunning(reference);
    const [ports, named] = await Promise.all([
      this.#guestPorts.list(vm, signal),
      this.#isNamed(vm, signal),
    ]);
    const ways: WaysIn = {
      direct: this.#network.direct(vm),
      named,
      forwards: [...this.#portForwards.listening(vm), ...this.#launched(vm)],
    };
    return ports.map((port) => reachablePort(vm, port, ways));
  }

  /**
   * Looks at what the VM uses now.
   * @throws VmStateError
   */
  async stats(reference: string, signal: AbortSignal): Promise<VmStats> {
    const vm = await this.#vmService.getRunning(reference);
    const stats = await this.#collectStats(vm, signal);
    if (stats) return stats;
    throw new VmStateError(`${vm.name} has just ended`, {
      hint: `Start it: banger vm start ${vm.name}`,
    });
  }

  /**
   * What a running guest wanted to reach and was refused, and by what.
   * @throws VmStateError, or what reading the host's rules fails with
   */
  async refusals(reference: string, signal: AbortSignal): Promise<VmRefusals> {
    const vm = await this.#vmService.getRunning(reference);
    return {
      egress: this.#guestEgress.inForce(vm),
      refusals: await this.#guestEgress.refusals(vm, signal),
    };
  }

  /**
   * Publishes a port of the guest on the host: whenever the VM runs, until it is removed, when it is kept, and otherwise until the
   * operation is cancelled. Says the endpoint as the progress of stage `forward` when it listens.
   * @throws PortForwardedError, PortUnavailableError, VmStateError
   */
  async forward(
    reference: string,
    request: ForwardRequest,
    keep: boolean,
    operation: OperationContext,
  ): Promise<PublishedPort> {
    const vm = await this.#vmService.get(reference);
    const { signal } = operation;
    const named = await this.#isNamed(vm, signal);
    const publish = (forward: PortForward): PublishedPort => {
      const endpoint = renderEndpoint(vm, forward, named);
      operation.progress("forward", endpoint);
      return { ...forward, endpoint };
    };
    return keep
      ? publish(await this.#publishPorts.keep(vm, request, signal))
      : this.#publishPorts.hold(vm, request, operation, publish);
  }

  /**
   * Ends a published port, a kept one for good.
   * @param port of the host
   * @throws PortNotForwardedError
   */
  async unforward(
    reference: string,
    port: number,
    signal: AbortSignal,
  ): Promise<void> {
    const vm = await this.#vmService.get(reference);
    await this.#publishPorts.remove(vm, port, signal);
  }

  /** That a plugin publishes the name says nothing: the host's own resolver may not ask it. */
  #isNamed({ runtime }: VmRecord, signal: AbortSignal): Promise<boolean> {
    const { dnsName, guestIp } = runtime;
    return this.#hostResolver.resolves(dnsName, guestIp, signal);
  }

  /** What the VMM itself forwards, such as SSH. */
  #launched(vm: VmRecord): readonly PortForward[] {
    const { backend } = this.#network.nic(vm);
    if (backend.kind !== "user") return [];
    return backend.forwards.map(({ host, hostPort, guestPort }) => ({
      address: host,
      port: hostPort,
      guestPort,
    }));
  }
}

function checkState({ name, state }: VmRecord): Check {
  const check = { id: "vm.state", title: "state", detail: state };
  return state === "running"
    ? { ...check, status: "pass" }
    : { ...check, status: "fail", fix: `banger vm start ${name}` };
}
