/**
 * What a client of the daemon shares with it: where its socket is, the frames of a byte stream, and types. It loads nothing but
 * Node's own modules, because the bundled CLI contains it.
 */
export { buildHeader } from "./api/build-header.js";
export {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  mostFrameBytes,
  streamProtocol,
  type ControlMessage,
  type Frame,
} from "./api/frames.js";
export { resolvePaths, type Paths } from "./paths.js";
export { nodeFlags, programFiles, systemLayout } from "./system/layout.js";
export type {
  ChangeVmBody,
  CreateVmBody,
  KillVmBody,
  OperationEvent,
  PruneVmsBody,
} from "./api/schemas.js";
export type {
  AgentExecAnswer,
  AgentExecBody,
  ForwardBody,
} from "./api/guest-schemas.js";
export type { DaemonFacts } from "./api/routes/daemon-routes.js";
export type { PluginReport } from "./api/routes/plugin-routes.js";
export type { RequirementReport } from "./setup/requirements.js";
export type { InstallRecord } from "./system/install-record.js";
export type { SystemStatus } from "./system/system-status.js";
export type { UninstallReport } from "./system/uninstall-system.js";
