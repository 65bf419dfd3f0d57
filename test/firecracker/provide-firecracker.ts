import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { parse } from "yaml";
import { repository } from "../install.js";
import {
  contractFiles,
  type FirecrackerSettings,
  type RecordedRequest,
} from "./settings.js";

/** Executables that stand in for Firecracker's, and what they have seen. */
export interface ProvidedFirecracker {
  readonly directory: string;
  /** path of the executable */
  readonly firecracker: string;
  /** path of the executable */
  readonly jailer: string;
  /** Settings of all processes that start from now on; they replace the ones before. */
  configure(settings: FirecrackerSettings): void;
  /** Every request of every process so far, in order. */
  requests(): readonly RecordedRequest[];
  forgetRequests(): void;
}

const sources = join(repository, "test/firecracker");

/** The description that requests are checked against. */
const description = join(repository, "host/firecracker/api-1.17-dev.yaml");

/**
 * Writes the executables `firecracker` and `jailer`, bundled, with this Node.js as their interpreter. All they need is in the folder, so
 * they run with an empty environment.
 * @param directory anywhere but below a package of ES modules; made when it is not there
 */
export async function provideFirecracker(
  directory: string,
  settings: FirecrackerSettings = {},
): Promise<ProvidedFirecracker> {
  mkdirSync(directory, { recursive: true });
  const file = (name: string): string => join(directory, name);
  await bundle("server/main.ts", file("firecracker"));
  await bundle("jailer/main.ts", file(contractFiles.jailerProgram));
  const jailer = readFileSync(join(sources, "jailer/jailer.sh"), "utf8");
  writeFileSync(file("jailer"), jailer.replaceAll("@NODE@", process.execPath));
  chmodSync(file("firecracker"), 0o755);
  chmodSync(file("jailer"), 0o755);
  writeFileSync(
    file(contractFiles.description),
    JSON.stringify(parse(readFileSync(description, "utf8"))),
  );
  const configure = (next: FirecrackerSettings): void => {
    writeFileSync(file(contractFiles.settings), JSON.stringify(next));
  };
  const forgetRequests = (): void => {
    writeFileSync(file(contractFiles.requests), "");
  };
  configure(settings);
  forgetRequests();
  // A jailed server is another user's, and sees this folder.
  chmodSync(directory, 0o755);
  chmodSync(file(contractFiles.settings), 0o644);
  chmodSync(file(contractFiles.description), 0o644);
  chmodSync(file(contractFiles.requests), 0o666);
  return {
    directory,
    firecracker: file("firecracker"),
    jailer: file("jailer"),
    configure,
    requests: () => readRequests(file(contractFiles.requests)),
    forgetRequests,
  };
}

function readRequests(path: string): readonly RecordedRequest[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as RecordedRequest);
}

async function bundle(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [join(sources, entry)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "cjs",
    banner: { js: `#!${process.execPath}` },
    logLevel: "warning",
  });
}
