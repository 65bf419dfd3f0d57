import type { CommandRunner } from "@banger/core";
import { z } from "zod";
import { deviceName } from "./root/device-names.js";

/** Netlink answers at once, ms. */
const timeoutMs = 10_000;

const routes = z.array(
  z.looseObject({
    dev: z.string().optional(),
    metric: z.number().default(0),
    flags: z.array(z.string()).default([]),
  }),
);

/**
 * The device of the host's IPv4 default route, the one with the lowest metric that is not down; `undefined` when it has none.
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export async function findDefaultRoute(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { stdout } = await commands.run({
    file: "ip",
    args: ["-json", "-4", "route", "show", "default"],
    timeoutMs,
    signal,
  });
  return lowestMetric(stdout);
}

/** The device of the best route in what `ip -json route show` printed. Pure. */
export function lowestMetric(output: string): string | undefined {
  // Without any route `ip` prints nothing, or an empty list.
  if (output.trim() === "") return undefined;
  const usable = routes
    .parse(JSON.parse(output))
    .filter(({ flags }) => !flags.includes("linkdown"));
  return usable
    .flatMap(({ dev, metric }) =>
      // What rules cannot name is no way out for a guest.
      dev !== undefined && deviceName.test(dev) ? [{ dev, metric }] : [],
    )
    .sort((a, b) => a.metric - b.metric)[0]?.dev;
}
