import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { hasErrorCode } from "../files/error-code.js";

/** The second has what systemd-resolved itself asks, where the first names only its stub on 127.0.0.53. */
const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/** resolv.conf(5): MAXNS */
const most = 3;

/**
 * IPv4 name servers of the host that a guest can ask too: none on a loopback address. Of the first file that has one; none when no
 * file has.
 */
export function hostNameservers(
  paths: readonly string[] = files,
): readonly string[] {
  for (const path of paths) {
    const found = nameserversOf(read(path));
    if (found.length > 0) return found;
  }
  return [];
}

/** Pure. */
function nameserversOf(text: string): readonly string[] {
  return text
    .split("\n")
    .flatMap((line) => /^nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((ip) => isIPv4(ip) && !ip.startsWith("127.") && ip !== "0.0.0.0")
    .slice(0, most);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "EACCES")) return "";
    throw error;
  }
}
