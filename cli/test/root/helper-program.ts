import { spawn, type ChildProcess } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { onTestFinished } from "vitest";

const repository = resolve(import.meta.dirname, "../../..");

/** Stands for any schema: a plugin's own comes with its package. */
const anything = "{ safeParse: (data) => ({ success: true, data }) }";

/** The helper with all it imports but addons, and the files that it is made of. */
interface Bundle {
  readonly program: Uint8Array;
  readonly inputs: readonly string[];
}

let bundled: Promise<Bundle> | undefined;

/** Made once. */
export function bundleHelper(): Promise<Bundle> {
  return (bundled ??= bundle());
}

async function bundle(): Promise<Bundle> {
  const {
    outputFiles: [program],
    metafile: { inputs },
  } = await build({
    entryPoints: [join(repository, "cli/src/banger-root.ts")],
    bundle: true,
    write: false,
    metafile: true,
    absWorkingDir: repository,
    platform: "node",
    target: "node20.19",
    format: "esm",
    external: ["koffi"],
    logLevel: "warning",
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
    plugins: [
      {
        name: "sources",
        setup: ({ onResolve }) => {
          onResolve(
            { filter: /^@banger\/(core|host)(\/helper)?$/ },
            (found) => {
              const [, name = "", entry = "index"] = found.path.split("/");
              return { path: join(repository, name, "src", `${entry}.ts`) };
            },
          );
        },
      },
    ],
  });
  if (!program) throw new Error("the helper makes no program");
  return { program: program.contents, inputs: Object.keys(inputs) };
}

/**
 * A program directory as an install has it, of this tree's sources: the helper, koffi, and plugins of its own with one request each, `<id>.wait`.
 * @returns the directory
 */
export async function makeProgram(plugins: readonly string[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "banger-root-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  await mkdir(join(directory, "cli/dist/root"), { recursive: true });
  await writeFile(
    join(directory, "cli/dist/root/banger-root.mjs"),
    (await bundleHelper()).program,
  );
  await writeFile(
    join(directory, "cli/package.json"),
    JSON.stringify({ version: "1.0.0" }),
  );
  for (const addon of ["koffi", "@koromix"])
    await cp(
      join(repository, "node_modules", addon),
      join(directory, "node_modules", addon),
      { recursive: true },
    );
  for (const id of plugins) await makePlugin(directory, id);
  return directory;
}

export function pluginDirectory(program: string, id: string): string {
  return join(program, "node_modules", `plugin-${id}`);
}

async function makePlugin(program: string, id: string): Promise<void> {
  const directory = pluginDirectory(program, id);
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, "package.json"),
    JSON.stringify({
      name: `plugin-${id}`,
      version: "1.0.0",
      type: "module",
      exports: { ".": "./index.js", "./package.json": "./package.json" },
      banger: { kind: "plugin", id, apiVersion: 1 },
    }),
  );
  await writeFile(
    join(directory, "index.js"),
    `export const plugin = {
      id: "${id}", apply() {}, inject: [], provide: {},
      privileged: [{
        name: "${id}.wait", timeoutMs: 60000,
        input: ${anything}, output: ${anything},
        run: (ms) => new Promise((resolve) => setTimeout(() => resolve("waited"), ms)),
      }],
    };`,
  );
}

/** Whom the helpers of the tests serve. */
export const owner = 65534;

function record(plugins: readonly string[]): string {
  return JSON.stringify({
    format: 1,
    owner: { name: "nobody", uid: owner, gid: owner, home: "/nonexistent" },
    version: "1.0.0",
    build: "dev",
    program: "program-dev-00c0ffee",
    installedAt: "2026-01-01T00:00:00.000Z",
    service: "none",
    plugins: plugins.map((id) => `plugin-${id}`),
    vmm: {},
    parents: [],
  });
}

/** A helper that runs, in a mount namespace of its own. */
export interface RunningHelper {
  readonly child: ChildProcess;
  /** the namespace's, reached from outside */
  readonly socketPath: string;
  /** lines of the log so far */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** resolves with exit status or signal */
  readonly ended: Promise<number | string>;
}

/**
 * Runs the program with `/etc` and `/run` of its own.
 * @param plugins ids of those in the record; without them there is no record
 */
export async function runProgram(
  program: string,
  plugins?: readonly string[],
): Promise<RunningHelper> {
  const script = `
    mount -t tmpfs -o mode=755 none /run && mount -t tmpfs -o mode=755 none /etc || exit 99
    if [ "$1" ]; then mkdir /etc/banger && printf %s "$1" >/etc/banger/install.json; fi
    exec "$2" "$3"`;
  const child = spawn(
    "unshare",
    [
      ...["--mount", "--propagation", "private", "sh", "-c", script, "sh"],
      ...[plugins === undefined ? "" : record(plugins), process.execPath],
      join(program, "cli/dist/root/banger-root.mjs"),
    ],
    { stdio: ["ignore", "ignore", "pipe"], cwd: "/" },
  );
  const log: Record<string, unknown>[] = [];
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (status, signal) => {
      resolve(status ?? signal ?? "");
    });
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let rest = "";
  const answers = new Promise<void>((done) => {
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        if (line.startsWith("{"))
          log.push(JSON.parse(line) as Record<string, unknown>);
      if (log.some(({ message }) => message === "Root helper answers")) done();
    });
  });
  await Promise.race([answers, ended]);
  const socketPath = `/proc/${String(child.pid)}/root/run/banger-root/helper.sock`;
  return { child, socketPath, log, ended };
}

/** Asks for something as root. @returns the answer's text, empty when the connection was cut */
export function ask(
  { socketPath }: RunningHelper,
  request: string,
  input?: unknown,
): Promise<string> {
  return new Promise((done) => {
    const socket = connect(socketPath);
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      done(text);
    });
    socket.write(`${JSON.stringify({ version: 1, request, input })}\n`);
  });
}
