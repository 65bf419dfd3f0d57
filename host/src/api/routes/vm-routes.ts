import {
  isBangerError,
  isVmId,
  parseSize,
  type SpecChange,
  type VmRecord,
  type VmRequest,
  type VmService,
} from "@banger/core";
import { z } from "zod";
import type { ConsoleReader } from "../../files/console-reader.js";
import { operationRoute, readRoute, textRoute, type Route } from "../route.js";
import {
  changeVmBody,
  createVmBody,
  killVmBody,
  logsQuery,
  pruneVmsBody,
  stopVmBody,
  vmParams,
  vmRecord,
} from "../schemas.js";

export interface VmRouteDeps {
  readonly vmService: VmService;
  readonly consoleReader: ConsoleReader;
  /** refuses with all missing host programs at once */
  readonly checkRequirements: () => Promise<void>;
  /** begins the wait for an ephemeral VM's first session */
  readonly onLaunched: (vm: VmRecord) => void;
}

export function vmRoutes(deps: VmRouteDeps): readonly Route[] {
  const { vmService, consoleReader, checkRequirements, onLaunched } = deps;
  const named =
    (verb: string) =>
    async ({ params }: { params: { vm: string } }): Promise<string> =>
      `${verb} ${await nameOf(vmService, params.vm)}`;
  return [
    readRoute({
      method: "GET",
      path: "/v1/vms",
      summary: "All VMs, oldest first",
      answer: z.array(vmRecord),
      handle: () => vmService.list(),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms",
      summary: "Create a VM and, unless `start` is false, start it",
      answer: vmRecord,
      body: createVmBody,
      title: ({ body }) =>
        `${body.start ? "run" : "create"} ${body.name ?? "a VM"}`,
      handle: async ({ body }, operation) => {
        await checkRequirements();
        const request = toRequest(body);
        if (!body.start) return vmService.create(request, operation);
        const vm = await vmService.launch(request, operation);
        onLaunched(vm);
        return vm;
      },
    }),
    readRoute({
      method: "GET",
      path: "/v1/vms/:vm",
      summary: "One VM, by id, name or unique prefix",
      answer: vmRecord,
      params: vmParams,
      handle: ({ params }) => vmService.get(params.vm),
    }),
    operationRoute({
      method: "PATCH",
      path: "/v1/vms/:vm",
      summary: "Change what the owner wants of a VM",
      answer: vmRecord,
      params: vmParams,
      body: changeVmBody,
      title: named("change"),
      handle: ({ params, body }, operation) =>
        vmService.reconfigure(params.vm, toChange(body), operation),
    }),
    operationRoute({
      method: "DELETE",
      path: "/v1/vms/:vm",
      summary: "End a VM and erase its disks",
      answer: vmRecord,
      params: vmParams,
      title: named("delete"),
      handle: ({ params }, operation) => vmService.delete(params.vm, operation),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/start",
      summary: "Start a VM that is not running",
      answer: vmRecord,
      params: vmParams,
      title: named("start"),
      handle: async ({ params }, operation) => {
        await checkRequirements();
        const vm = await vmService.start(params.vm, operation);
        onLaunched(vm);
        return vm;
      },
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/stop",
      summary: "Stop a VM and keep its data",
      answer: vmRecord,
      params: vmParams,
      body: stopVmBody,
      title: named("stop"),
      handle: ({ params, body }, operation) =>
        vmService.stop(params.vm, body, operation),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/restart",
      summary: "Stop a VM when it runs, and start it",
      answer: vmRecord,
      params: vmParams,
      title: named("restart"),
      handle: async ({ params }, operation) => {
        await checkRequirements();
        const vm = await vmService.restart(params.vm, operation);
        onLaunched(vm);
        return vm;
      },
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/kill",
      summary: "Send the VMM of a VM a signal; its data may be cut short",
      answer: vmRecord,
      params: vmParams,
      body: killVmBody,
      title: named("kill"),
      handle: ({ params, body }, operation) =>
        vmService.kill(params.vm, body.signal, operation),
    }),
    readRoute({
      method: "POST",
      path: "/v1/vms/:vm/touch",
      summary: "Count a VM as used now",
      answer: vmRecord,
      params: vmParams,
      handle: ({ params }) => vmService.touch(params.vm),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/prune",
      summary: "Delete those of these VMs that do not run; answers with them",
      answer: z.array(vmRecord),
      body: pruneVmsBody,
      title: ({ body }) => `prune ${String(body.ids.length)} VMs`,
      handle: ({ body }, operation) =>
        vmService.prune(body.ids.filter(isVmId), operation),
    }),
    textRoute({
      method: "GET",
      path: "/v1/vms/:vm/logs",
      summary: "The guest's console",
      params: vmParams,
      query: logsQuery,
      handle: async ({ params, query }, signal) => {
        const vm = await vmService.get(params.vm);
        return consoleReader.read(vm, {
          lines: query.lines,
          follow: query.follow === "true",
          signal,
        });
      },
    }),
  ];
}

/** The VM's name for the operation's title; the reference itself when it is nobody's, which the operation reports. */
async function nameOf(
  vmService: VmService,
  reference: string,
): Promise<string> {
  try {
    return (await vmService.get(reference)).name;
  } catch (error) {
    if (!isBangerError(error)) throw error;
    return reference;
  }
}

function toRequest(body: z.output<typeof createVmBody>): VmRequest {
  const { memory, diskSize, start: _start, ...rest } = body;
  return { ...rest, ...sizes(memory, diskSize) };
}

function toChange(body: z.output<typeof changeVmBody>): SpecChange {
  const { name, memory, diskSize, vcpus, nat } = body;
  return {
    ...(name === undefined ? {} : { name }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(nat === undefined ? {} : { nat }),
    ...sizes(memory, diskSize),
  };
}

function sizes(
  memory: string | undefined,
  diskSize: string | undefined,
): { memoryMiB?: number; diskSizeBytes?: number } {
  return {
    ...(memory === undefined
      ? {}
      : { memoryMiB: Math.floor(parseSize(memory, "memory") / 2 ** 20) }),
    ...(diskSize === undefined
      ? {}
      : { diskSizeBytes: parseSize(diskSize, "disk size") }),
  };
}
