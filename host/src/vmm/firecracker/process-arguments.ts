/**
 * What every Firecracker of ours is started with beside its id. Pure.
 * @param apiSocket as the process sees it
 */
export function firecrackerArguments(apiSocket: string): readonly string[] {
  // Until its log is configured, Firecracker logs to where the guest's console goes: by default every request.
  return ["--api-sock", apiSocket, "--level", "Warning"];
}
