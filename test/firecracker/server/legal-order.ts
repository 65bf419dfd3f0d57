import { ApiFault } from "./api-fault.js";

/** Operations that only a VM that has not started takes. */
const beforeBoot: ReadonlySet<string> = new Set([
  "putBalloon",
  "putGuestBootSource",
  "putCpuConfiguration",
  "putGuestDriveByID",
  "putGuestPmemByID",
  "putLogger",
  "putMachineConfiguration",
  "patchMachineConfiguration",
  "putMetrics",
  "putMmdsConfig",
  "putEntropyDevice",
  "putSerialDevice",
  "putMemoryHotplug",
  "putGuestNetworkInterfaceByID",
  "putGuestVsock",
  "loadSnapshot",
]);

/** Operations that only a VM that has started takes. */
const afterBoot: ReadonlySet<string> = new Set([
  "patchBalloon",
  "describeBalloonStats",
  "patchBalloonStatsInterval",
  "startBalloonHinting",
  "describeBalloonHinting",
  "stopBalloonHinting",
  "patchGuestDriveByID",
  "patchGuestPmemByID",
  "patchGuestNetworkInterfaceByID",
  "getMemoryHotplug",
  "patchMemoryHotplug",
  "createSnapshot",
  "patchVm",
]);

/** @throws ApiFault when the operation comes too early or too late */
export function checkPhase(
  operation: string,
  body: unknown,
  started: boolean,
): void {
  const action =
    operation === "createSyncAction"
      ? (body as { action_type: string }).action_type
      : undefined;
  if (started && (beforeBoot.has(operation) || action === "InstanceStart"))
    throw new ApiFault(
      "The requested operation is not supported after starting the microVM.",
    );
  if (
    !started &&
    (afterBoot.has(operation) ||
      (action !== undefined && action !== "InstanceStart"))
  )
    throw new ApiFault(
      "The requested operation is not supported before starting the microVM.",
    );
}
