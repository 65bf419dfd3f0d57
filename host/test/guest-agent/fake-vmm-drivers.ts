import type { VmmDrivers, VmmFeatures, VmRecord } from "@banger/core";
import { FakeHost } from "@banger/core/testing";
import { fakeVm } from "../guest-ssh/fixtures.js";

/** Drivers of which everyone has these features. */
export function fakeVmmDrivers(features: Partial<VmmFeatures>): VmmDrivers {
  const host = new FakeHost();
  Object.assign(host.vmm.features, features);
  return host.vmmDrivers;
}

/** A VM that such a driver has started. */
export function startedVm(runDirectory: string): VmRecord {
  const vm = fakeVm({ runDirectory });
  return { ...vm, runtime: { ...vm.runtime, driver: "fake" } };
}
