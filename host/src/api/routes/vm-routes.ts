import {
  parseSize,
  type SpecChange,
  type VmRecord,
  type VmRequest,
  type VmService,
} from "@banger/core";
import type { z } from "zod";
import type { ConsoleReader } from "../../files/console-reader.js";
import { operationRoute, readRoute, textRoute, type Route } from "../route.js";
import {
  changeVmBody,
  createVmBody,
  logsQuery,
  stopVmBody,
  vmParams,
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
  return [
    readRoute({
      method: "GET",
      path: "/v1/vms",
      summary: "All VMs, oldest first",
      handle: () => vmService.list(),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms",
      summary: "Create a VM and, unless `start` is false, start it",
      body: createVmBody,
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
      params: vmParams,
      handle: ({ params }) => vmService.get(params.vm),
    }),
    operationRoute({
      method: "PATCH",
      path: "/v1/vms/:vm",
      summary: "Change what the owner wants of a VM",
      params: vmParams,
      body: changeVmBody,
      handle: ({ params, body }, operation) =>
        vmService.reconfigure(params.vm, toChange(body), operation),
    }),
    operationRoute({
      method: "DELETE",
      path: "/v1/vms/:vm",
      summary: "End a VM and erase its disks",
      params: vmParams,
      handle: ({ params }, operation) => vmService.delete(params.vm, operation),
    }),
    operationRoute({
      method: "POST",
      path: "/v1/vms/:vm/start",
      summary: "Start a VM that is not running",
      params: vmParams,
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
      params: vmParams,
      body: stopVmBody,
      handle: ({ params, body }, operation) =>
        vmService.stop(params.vm, body, operation),
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

function toRequest(body: z.output<typeof createVmBody>): VmRequest {
  const { memory, diskSize, start: _start, ...rest } = body;
  return { ...rest, ...sizes(memory, diskSize) };
}

function toChange(body: z.output<typeof changeVmBody>): SpecChange {
  const { memory, diskSize, vcpus, nat } = body;
  return {
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
