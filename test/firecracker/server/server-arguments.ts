import { isAtLeast } from "../settings.js";
import {
  parseArguments,
  type ArgumentRule,
  type Arguments,
} from "./arguments.js";

/** The arguments of a version of Firecracker. @throws ArgumentError */
export function parseServerArguments(
  words: readonly string[],
  version: string,
): Arguments {
  return parseArguments(words, {
    ...always,
    ...(isAtLeast(version, "1.13") && { "enable-pci": {} }),
  });
}

const value: ArgumentRule = { takesValue: true };

const always: Readonly<Record<string, ArgumentRule>> = {
  "api-sock": { takesValue: true, default: "/run/firecracker.socket" },
  id: { takesValue: true, default: "anonymous-instance" },
  "seccomp-filter": { takesValue: true, forbids: "no-seccomp" },
  "no-seccomp": { forbids: "seccomp-filter" },
  "start-time-us": value,
  "start-time-cpu-us": value,
  "parent-cpu-time-us": value,
  "config-file": value,
  metadata: value,
  "no-api": { requires: "config-file" },
  "log-path": value,
  level: value,
  module: value,
  "show-level": {},
  "show-log-origin": {},
  "metrics-path": value,
  "boot-timer": {},
  "snapshot-version": {},
  "describe-snapshot": value,
  "http-api-max-payload-size": { takesValue: true, default: "51200" },
  "mmds-size-limit": value,
};
