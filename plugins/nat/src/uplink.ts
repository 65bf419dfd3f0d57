import { readFile } from "node:fs/promises";

/** `RTF_UP`: the route is usable (linux/route.h). */
const routeUp = 0x1;

/**
 * The interface of the IPv4 default route with the lowest metric in the text of `/proc/net/route`. Pure; lines that do not fit are
 * passed over.
 * @see proc(5), /proc/net/route
 */
export function defaultRoute(table: string): string | undefined {
  const routes = table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, destination, , flags, , , , mask]) =>
        destination === "00000000" &&
        mask === "00000000" &&
        (parseInt(flags ?? "", 16) & routeUp) !== 0,
    )
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return routes[0]?.[0];
}

/** The host's way out, or `undefined` when it has none or the kernel shows no IPv4 routes. */
export async function findUplink(
  path = "/proc/net/route",
): Promise<string | undefined> {
  try {
    return defaultRoute(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
