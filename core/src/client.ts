/**
 * The part of core that a client of the daemon needs: errors and the words that both sides share. It loads no package, because the
 * bundled CLI contains it.
 */
export type {
  EgressInForce,
  Refusal,
  VmRefusals,
} from "./contracts/guest-egress.js";
export { vmmSignals, type VmmSignal } from "./contracts/vmm.js";
export * from "./errors.js";
export * from "./model/check.js";
export * from "./model/image.js";
export type * from "./model/operation-record.js";
export type * from "./model/port.js";
export type * from "./model/reconcile-report.js";
export * from "./model/size.js";
export type * from "./model/stats.js";
export * from "./model/suggest.js";
export * from "./model/timeline.js";
export * from "./model/vm-reference.js";
export * from "./model/vm.js";
