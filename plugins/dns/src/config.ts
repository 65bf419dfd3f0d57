import { isIPv4 } from "node:net";
import { InvalidValueError, type Endpoint } from "@banger/core";
import { z } from "zod";
import { parseUpstream } from "./upstreams.js";

/** The address that README, recipes and tests speak of. */
const defaultListen = "127.0.0.1:42069";

/** Seconds. A VM may come back under another address at once, so its old one must not be remembered for long. */
const defaultTtlSeconds = 5;

/**
 * Reads `address:port`.
 * @throws {@link InvalidValueError} unless it is an IPv4 loopback address (127.0.0.0/8) or 0.0.0.0, and a port 1 to 65535
 */
export function parseListen(text: string): Endpoint {
  const [, host, digits] = /^([0-9.]+):([1-9][0-9]{0,4})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host !== undefined && isIPv4(host) && port <= 65_535) {
    // Names of VMs are nobody's business beyond this host unless its owner says "any address" in so many words.
    if (host.startsWith("127.") || host === "0.0.0.0") return { host, port };
  }
  throw new InvalidValueError(
    `${JSON.stringify(text)} is no address to serve DNS on`,
    {
      hint: `Use an IPv4 loopback address or 0.0.0.0, and a port 1 to 65535, such as ${defaultListen}`,
    },
  );
}

function readableBy(parse: (text: string) => unknown) {
  return (text: string, context: z.RefinementCtx): void => {
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof InvalidValueError)) throw error;
      const message = `${error.message}. ${error.hint ?? ""}`;
      context.addIssue({ code: "custom", message });
    }
  };
}

/** The section `[plugins.dns]`. */
export const dnsConfigSchema = z.strictObject({
  listen: z
    .string()
    .superRefine(readableBy(parseListen))
    .default(defaultListen)
    .describe(
      `Address and port of the DNS server, UDP and TCP: IPv4 loopback, or 0.0.0.0 for every address of the host. Default "${defaultListen}".`,
    ),
  ttl: z
    .int()
    .min(0)
    .max(3600)
    .default(defaultTtlSeconds)
    .describe(
      `How long a resolver may remember an answer, seconds, 0 to 3600. Default ${String(defaultTtlSeconds)}.`,
    ),
  upstreams: z
    .array(z.string().superRefine(readableBy(parseUpstream)))
    .max(8)
    .default([])
    .describe(
      "Name servers that guests' questions for other names go to, IPv4 address or address:port, at most 8. Empty: the host's own. Default [].",
    ),
});
