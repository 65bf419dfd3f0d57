import type { VmRuntime } from "../model/vm.js";

/** What was wrong before the last start or stop that succeeded is no longer. */
export function withoutFaults({
  lastError: _mended,
  problems: _solved,
  ...rest
}: VmRuntime): VmRuntime {
  return rest;
}

/** They are found anew. */
export function withoutProblems({
  problems: _found,
  ...rest
}: VmRuntime): VmRuntime {
  return rest;
}

/** A VM that has run, or is kept for its logs, is its owner's and no longer the operation's. */
export function withoutProvisional({
  provisional: _kept,
  ...rest
}: VmRuntime): VmRuntime {
  return rest;
}

/** What a VMM made under these names is gone, or another VMM will run it. */
export function withoutVmmNames({
  vsockCid: _cid,
  jailDirectory: _jail,
  ...rest
}: VmRuntime): VmRuntime {
  return rest;
}

/** Everything that a start made on the host is removed, so what it was called is said of nothing any more. */
export function withoutPrepared({
  prepared: _removed,
  baseLoop: _base,
  cowLoop: _cow,
  dmName: _name,
  dmDevice: _device,
  tapDevice: _tap,
  ...rest
}: VmRuntime): VmRuntime {
  return withoutVmmNames(rest);
}

/** The change of its spec is over, whichever way. */
export function withoutChanging({
  changing: _over,
  ...rest
}: VmRuntime): VmRuntime {
  return rest;
}
