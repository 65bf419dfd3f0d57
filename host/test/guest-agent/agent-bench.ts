import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VmmFeatures, VmRecord } from "@banger/core";
import {
  agentLimits,
  type AgentLimits,
} from "../../src/guest-agent/agent-limits.js";
import { QemuGuestAgent } from "../../src/guest-agent/qemu-guest-agent.js";
import { silentLogger } from "../guest-ssh/fixtures.js";
import {
  FakeAgent,
  wellBehaved,
  type AgentRequest,
  type Answer,
  type Transport,
} from "./fake-agent.js";
import { fakeVmmDrivers, startedVm } from "./fake-vmm-drivers.js";

export const quickLimits: AgentLimits = {
  ...agentLimits,
  openTimeoutMs: 300,
  connectRetryMs: 5,
  syncIntervalMs: 20,
  slowSyncIntervalMs: 20,
  syncTimeoutMs: 400,
  replyTimeoutMs: 300,
  refusalGraceMs: 100,
};

/** Every way to an agent, with what ends the VMMs that offer it. */
export const transports: readonly (readonly [
  Transport,
  VmmFeatures["endsOn"],
])[] = [
  ["virtio-serial", "power-off"],
  ["vsock", "reboot"],
];

/** An agent that misbehaves as told, and the one that asks it. */
export class AgentBench {
  readonly fake: FakeAgent;
  readonly vm: VmRecord;
  readonly agent: QemuGuestAgent;
  readonly #directory: string;
  readonly #transport: Transport;

  private constructor(
    directory: string,
    [transport, endsOn]: (typeof transports)[number],
    limits: AgentLimits,
  ) {
    this.#directory = directory;
    this.#transport = transport;
    this.fake = new FakeAgent(transport);
    this.vm = startedVm(directory);
    this.agent = new QemuGuestAgent(
      {
        logger: silentLogger,
        vmmDrivers: fakeVmmDrivers({ agentTransport: transport, endsOn }),
      },
      limits,
    );
  }

  static async make(
    row: (typeof transports)[number],
    limits: Partial<AgentLimits> = {},
  ): Promise<AgentBench> {
    const directory = await mkdtemp(join(tmpdir(), "banger-agent-"));
    return new AgentBench(directory, row, { ...quickLimits, ...limits });
  }

  /** Path of the socket that the VMM would have made. */
  get socketPath(): string {
    const isVsock = this.#transport === "vsock";
    return join(this.#directory, isVsock ? "vsock.sock" : "agent.sock");
  }

  listen(): Promise<void> {
    return this.fake.listen(this.socketPath);
  }

  /** Answers a command as told, and everything else like the real agent. */
  answers(
    answers: Readonly<Record<string, (request: AgentRequest) => unknown>>,
  ): void {
    this.fake.answer = answering(answers);
  }

  async remove(): Promise<void> {
    this.agent.close();
    await this.fake.close();
    await rm(this.#directory, { recursive: true });
  }
}

/** Values by command; `undefined` is silence, a string or bytes go out as they are, and an error is a refusal. */
function answering(
  answers: Readonly<Record<string, (request: AgentRequest) => unknown>>,
): Answer {
  return (request, socket) => {
    const answer = answers[request.execute];
    if (!answer) return wellBehaved(request, socket);
    const value = answer(request);
    if (value === undefined) return undefined;
    if (typeof value === "string" || value instanceof Uint8Array) return value;
    const reply =
      value instanceof Error
        ? { error: { class: "GenericError", desc: value.message } }
        : { return: value };
    return `${JSON.stringify(reply)}\n`;
  };
}

/** The code of the error that ends the work. */
export const errorCode = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no error",
    (error: unknown) => (error as { code?: unknown }).code,
  );
