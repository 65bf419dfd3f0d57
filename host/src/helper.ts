/**
 * What the root helper is made of. An entry of its own, so that a process of root's loads neither the API server nor the store nor SSH.
 */
export { ExecaCommandRunner } from "./commands/execa-command-runner.js";
export { requireRootOwnedTree } from "./files/root-owned.js";
export { HelperServer } from "./privileged/helper-server.js";
export { hostRequests } from "./privileged/host-requests.js";
export { pingRequest } from "./privileged/ping-request.js";
export {
  collectRequests,
  type PrivilegedRequests,
} from "./privileged/request-registry.js";
export {
  installOf,
  readInstallRecord,
  type InstallRecord,
} from "./system/install-record.js";
export { systemLayout } from "./system/layout.js";
export { NotInstalledError, NotRootError } from "./system/system-errors.js";
export { removeHelperPid, writeHelperPid } from "./system/helper-pid-file.js";
