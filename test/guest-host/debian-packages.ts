import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What a Debian system says of itself, and so which packages fit it. */
export interface DebianSystem {
  /** its package sources, as in /etc/apt/sources.list.d/*.sources */
  readonly sources: string;
  /** its /var/lib/dpkg/status */
  readonly status: string;
}

/**
 * Downloads packages for another Debian system with this host's apt, and all that they need and that system lacks. Nothing is installed,
 * nothing of this host's apt is read or changed.
 * @param directory made for this, and removed
 * @returns a tar of *.deb files
 */
export function downloadPackages(
  directory: string,
  system: DebianSystem,
  names: readonly string[],
): Buffer {
  const inside = (path: string): string => join(directory, path);
  for (const path of ["lists/partial", "archives/partial", "sources"])
    mkdirSync(inside(path), { recursive: true });
  try {
    writeFileSync(inside("sources/system.sources"), system.sources);
    writeFileSync(inside("status"), system.status);
    const settings = {
      "Dir::State::Status": inside("status"),
      "Dir::State::Lists": inside("lists"),
      "Dir::Etc::SourceList": "/dev/null",
      "Dir::Etc::SourceParts": inside("sources"),
      "Dir::Cache": directory,
      "Acquire::Languages": "none",
      "APT::Architecture": "amd64",
      "APT::Install-Recommends": "false",
      // Its own user may not write here, and there is nothing that another apt would lock.
      "APT::Sandbox::User": "",
      "Debug::NoLocking": "true",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => [
      "--option",
      `${key}=${value}`,
    ]);
    const aptGet = (...args: readonly string[]): void => {
      execFileSync("apt-get", ["--quiet", ...options, ...args], {
        stdio: ["ignore", "ignore", "inherit"],
      });
    };
    aptGet("update");
    aptGet("install", "--yes", "--download-only", ...names);
    const packages = readdirSync(inside("archives")).filter((name) =>
      name.endsWith(".deb"),
    );
    return execFileSync("tar", ["--create", ...packages], {
      cwd: inside("archives"),
      maxBuffer: 2 ** 28,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
