import { execFile, spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import type { Endpoint } from "@banger/core";
import { askUdp, freePort } from "./clients.js";
import { ask } from "./messages.js";

const directories = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
export const searchPath = directories.join(":");

/** Absolute path of a program. */
export async function find(program: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = `${directory}/${program}`;
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/**
 * May tests with these programs run? As root they must: `npm test` installs them.
 * @throws Error as root, when one is missing
 */
export async function programsWork(
  ...programs: readonly string[]
): Promise<boolean> {
  const found = await Promise.all(programs.map(find));
  const missing = programs.filter((_, index) => found[index] === undefined);
  if (missing.length === 0) return true;
  const message = `DNS was NOT tested with real programs, missing: ${missing.join(", ")}`;
  if (process.getuid?.() === 0)
    throw new Error(`${message}; run: node scripts/setup-host.mjs`);
  console.warn(message);
  return false;
}

/** Runs a program to its end. @returns stdout, whatever the exit status */
export function output(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: searchPath, LC_ALL: "C" };
    execFile(
      file,
      args,
      { env, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error && typeof error.code !== "number")
          reject(
            new Error(`${file} ${args.join(" ")}: ${stderr}`, { cause: error }),
          );
        else resolve(stdout);
      },
    );
  });
}

/** Starts dnsmasq on a port of loopback that has been free a moment ago. */
export async function startDnsmasq(
  ...options: readonly string[]
): Promise<{ readonly at: Endpoint; readonly end: () => void }> {
  const at = { host: "127.0.0.1", port: await freePort() };
  const child = spawn(
    (await find("dnsmasq")) ?? "dnsmasq",
    [
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--pid-file=",
      "--user=",
      "--no-hosts",
      "--no-resolv",
      "--bind-interfaces",
      `--listen-address=${at.host}`,
      `--port=${String(at.port)}`,
      ...options,
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = new Promise<never>((_, reject) => {
    child.once("exit", () => {
      reject(new Error("dnsmasq has ended"));
    });
    child.once("error", reject);
  });
  ended.catch(() => undefined);
  await Promise.race([askUdp(at, ask("version.bind")), ended]);
  return { at, end: () => child.kill("SIGKILL") };
}
