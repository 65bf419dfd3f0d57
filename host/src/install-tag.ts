import { createHash } from "node:crypto";

/** What two installs on one host tell their network devices apart by: eight hexadecimal digits. Pure. */
export function installTag(stateDirectory: string): string {
  const hash = createHash("sha256").update(stateDirectory);
  return hash.digest("hex").slice(0, 8);
}
