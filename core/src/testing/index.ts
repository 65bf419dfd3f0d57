export * from "./fake-command-runner.js";
export * from "./fake-network.js";
export * from "./fake-vm-store.js";
export * from "./fixtures.js";
export * from "./host-calls.js";
export * from "./memory-logger.js";
export type { ContractHost } from "./plugin-bench.js";
export * from "./plugin-contract.js";
export * from "./tree-snapshot.js";
