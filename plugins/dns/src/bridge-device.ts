import { CommandFailedError, type PrivilegedContext } from "@banger/core";
import { z } from "zod";

/** A device of the host, as far as it matters here. */
export interface BridgeDevice {
  readonly isBridge: boolean;
  /** free text of whoever made it */
  readonly alias: string | undefined;
  /** IPv4, without prefix length */
  readonly addresses: readonly string[];
}

/** iproute2 prints an object without fields for what a filter leaves out. */
const shown = z.array(
  z.looseObject({
    ifalias: z.string().optional(),
    linkinfo: z.looseObject({ info_kind: z.string().optional() }).optional(),
    addr_info: z
      .array(z.looseObject({ family: z.string(), local: z.string() }))
      .optional(),
  }),
);

/**
 * Looks at a device.
 * @returns `undefined` when there is none of this name
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export async function bridgeDevice(
  name: string,
  { commands, signal }: Pick<PrivilegedContext, "commands" | "signal">,
): Promise<BridgeDevice | undefined> {
  const command = {
    file: "ip",
    args: ["-json", "-details", "address", "show", "dev", name],
    timeoutMs: 10_000,
    signal,
  };
  const result = await commands.run({ ...command, okExitCodes: [0, 1] });
  if (result.exitCode !== 0) {
    // 1 is any failure of `ip` itself.
    if (/ does not exist/.test(result.stderr)) return undefined;
    throw new CommandFailedError(command, "failed", result);
  }
  const text = result.stdout.trim();
  const [device] = shown.parse(text === "" ? [] : JSON.parse(text));
  return (
    device && {
      isBridge: device.linkinfo?.info_kind === "bridge",
      alias: device.ifalias,
      addresses: (device.addr_info ?? [])
        .filter(({ family }) => family === "inet")
        .map(({ local }) => local),
    }
  );
}
