import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/** This Node.js, gzipped. */
export function packNode(): Buffer {
  return gzipSync(readFileSync(process.execPath), { level: 1 });
}

/** Paths of the libraries that this Node.js loads, by their names, as ldd(1) lists them. */
export function nodeLibraries(): ReadonlyMap<string, string> {
  const lines = execFileSync("ldd", [process.execPath], { encoding: "utf8" });
  return new Map(
    [...lines.matchAll(/^\s*(\S+) => (\/\S+) /gm)].map(
      ([, name = "", path = ""]) => [name, path],
    ),
  );
}
