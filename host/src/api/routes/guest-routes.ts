import { abortAfter, type GuestService } from "@banger/core";
import { vmStatsSchema } from "../../store/vm-record-schema.js";
import {
  agentExecAnswer,
  agentExecBody,
  forwardBody,
  forwardParams,
  healthAnswer,
  pingAnswer,
  portsAnswer,
  publishedPort,
  refusalsAnswer,
  type AgentExecAnswer,
} from "../guest-schemas.js";
import { operationRoute, readRoute, type Route } from "../route.js";
import { vmParams } from "../schemas.js";

/** Longest that a guest may keep a client waiting, ms; above what each of its parts may take. */
const readLimitMs = 60_000;

export function guestRoutes({
  guestService,
}: {
  readonly guestService: GuestService;
}): readonly Route[] {
  const limited = (left: AbortSignal): AbortSignal =>
    AbortSignal.any([left, abortAfter(readLimitMs)]);
  return [
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm/ping",
      summary: "Round trip to the guest's agent",
      answer: pingAnswer,
      params: vmParams,
      handle: async ({ params }, left) => ({
        roundTripMs: await guestService.ping(params.vm, limited(left)),
      }),
    }),
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm/health",
      summary: "Whether a VM is well, and what was looked at",
      answer: healthAnswer,
      params: vmParams,
      handle: ({ params }, left) =>
        guestService.health(params.vm, limited(left)),
    }),
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm/ports",
      summary: "What listens in the guest, and where the host reaches it",
      answer: portsAnswer,
      params: vmParams,
      handle: ({ params }, left) =>
        guestService.ports(params.vm, limited(left)),
    }),
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm/stats",
      summary: "What a VM uses now",
      answer: vmStatsSchema,
      params: vmParams,
      handle: ({ params }, left) =>
        guestService.stats(params.vm, limited(left)),
    }),
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm/refusals",
      summary:
        "What a running guest may reach, and what it was refused, newest first",
      answer: refusalsAnswer,
      params: vmParams,
      handle: ({ params }, left) =>
        guestService.refusals(params.vm, limited(left)),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/agent/exec",
      summary:
        "Run a process through the guest's agent, without network and SSH; ended when the client leaves",
      answer: agentExecAnswer,
      params: vmParams,
      body: agentExecBody,
      title: ({ params, body }) =>
        `run ${body.argv[0]} in ${params.vm} through its agent`,
      handle: async (
        { params, body: { argv, input } },
        { signal },
      ): Promise<AgentExecAnswer> => {
        const command =
          input === undefined
            ? { argv }
            : { argv, input: Buffer.from(input, "base64") };
        const { exit, stdout, stderr } = await guestService.execByAgent(
          params.vm,
          command,
          signal,
        );
        const base64 = (bytes: Uint8Array): string =>
          Buffer.from(bytes).toString("base64");
        return {
          ...(exit.signal === undefined
            ? { exitCode: exit.exitCode }
            : { signal: exit.signal }),
          stdout: base64(stdout),
          stderr: base64(stderr),
        };
      },
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/forwards",
      summary:
        "Publish a port of the guest on the host; unless `keep`, until the client leaves. The progress of stage `forward` is the endpoint",
      answer: publishedPort,
      params: vmParams,
      body: forwardBody,
      title: ({ params, body }) =>
        `forward port ${String(body.guestPort)} of ${params.vm}`,
      handle: ({ params, body }, operation) => {
        const { keep, address, ...ports } = body;
        const request = address === undefined ? ports : { ...ports, address };
        return guestService.forward(params.vm, request, keep, operation);
      },
    }),
    operationRoute({
      method: "DELETE",
      path: "/v1/vms/:vm/forwards/:port",
      summary: "End a published port, by its port on the host",
      params: forwardParams,
      title: ({ params }) =>
        `remove port ${String(params.port)} of ${params.vm}`,
      handle: async ({ params }, { signal }) => {
        await guestService.unforward(params.vm, params.port, signal);
        return {};
      },
    }),
  ];
}
