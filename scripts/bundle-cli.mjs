// Bundles the command line into one file and makes its code cache: cli/dist/{banger-start,banger}.cjs and
// banger.cjs.<node version>-<arch>.cache. The daemon is not in it: it runs from what tsc wrote to cli/dist.
// Needs the output of `tsc -b`, because @banger/core resolves to its dist.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  copyFile,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "cli/dist");
const bundle = join(dist, "banger.cjs");
const here = join(import.meta.dirname, "cli");

/** What would make every command slow, or is the daemon's business. */
const FORBIDDEN = [
  /node_modules\/(awilix|better-sqlite3|execa|fastify|koffi|ssh2|tapable|tar-stream|winston|zod)\//,
  // What client and daemon share is light: host/src/client.ts lists it.
  /^host\/(?!dist\/(client|paths|system\/(layout|own-install)|api\/(frames|build-header))\.js$)/,
  /^plugins\//,
  /^cli\/(src|dist)\/(daemon\/|root\/|compose\.|bangerd\.|banger-root\.)/,
];

/** What the stand-in daemon answers while the cache is made: the more of the client runs, the more is cached. */
const WARM_UP = {
  args: ["ps"],
  answers: {
    "/v1/vms": [
      {
        id: "0123456789ab",
        name: "web",
        imageId: "debian-bookworm-0123456789ab",
        state: "running",
        createdAt: "2026-01-01T00:00:00.000Z",
        spec: { image: "debian-bookworm", vcpus: 1, memoryMiB: 2048 },
        runtime: { guestIp: "127.77.0.1" },
      },
    ],
  },
};

const replaceOnce = (text, from, to, file) => {
  if (text.split(from).length !== 2)
    throw new Error(`${file} has changed: expected ${from} once`);
  return text.replace(from, to);
};

/** @type {import("esbuild").Plugin} */
const yargsForCommonJs = {
  name: "yargs-for-commonjs",
  setup({ onLoad, onResolve, resolve: find }) {
    const shim = join(here, "yargs-shim.js");
    onResolve({ filter: /platform-shims\/esm\.mjs$/ }, ({ importer }) =>
      importer.includes("/node_modules/yargs/") ? { path: shim } : undefined,
    );
    // The shim gets yargs' own copies of these, and files that their packages do not export.
    const inside = {
      "cliui/core": "cliui",
      "yargs-parser": "yargs-parser",
      "yargs/locales/en.json": "yargs",
    };
    const files = {
      "cliui/core": "build/lib/index.js",
      "yargs/locales/en.json": "locales/en.json",
    };
    onResolve(
      { filter: /^(cliui\/core|yargs-parser|yargs\/locales\/en\.json)$/ },
      async ({ path, importer, kind }) => {
        if (importer !== shim) return undefined;
        const yargs = await find("yargs", {
          resolveDir: join(root, "cli"),
          kind,
        });
        const found = await find(inside[path], {
          resolveDir: dirname(yargs.path),
          kind,
        });
        return {
          path:
            files[path] === undefined
              ? found.path
              : join(dirname(found.path), files[path]),
        };
      },
    );
    // yargs renders the whole help text before every command, in case somebody asks for it later.
    onLoad(
      { filter: /\/yargs\/build\/lib\/command\.js$/ },
      async ({ path }) => ({
        contents: replaceOnce(
          await readFile(path, "utf8"),
          ".cacheHelpMessage()",
          ".clearCachedHelpMessage()",
          path,
        ),
      }),
    );
  },
};

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["cli/src/main.ts"],
  outfile: `${bundle}.new`,
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "cjs",
  charset: "ascii",
  legalComments: "none",
  // Identifiers stay readable for stack traces; shortening them too saves nothing that can be measured.
  minifySyntax: true,
  minifyWhitespace: true,
  // import() becomes a lazy require(): Node's ES module loader alone would cost as much as a whole command.
  supported: { "dynamic-import": false },
  define: {
    "import.meta.url": "bundleUrl",
    "import.meta.filename": "__filename",
    "import.meta.dirname": "__dirname",
  },
  banner: {
    js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href;',
  },
  external: ["better-sqlite3"],
  plugins: [yargsForCommonJs],
  metafile: true,
  logLevel: "warning",
});

const { inputs } = Object.values(metafile.outputs)[0];
const intruders = Object.keys(inputs).filter((file) =>
  FORBIDDEN.some((pattern) => pattern.test(file)),
);
if (intruders.length > 0) {
  const importerOf = (file) =>
    Object.keys(metafile.inputs).find((other) =>
      metafile.inputs[other].imports.some(({ path }) => path === file),
    );
  for (const file of intruders)
    console.error(
      `${file} must stay out of the CLI bundle; ${importerOf(file) ?? "nobody"} imports it`,
    );
  await rm(`${bundle}.new`, { force: true });
  process.exit(1);
}

// The old cache goes first: V8 checks a cache against the length of its source only.
for (const name of await readdir(dist))
  if (name.startsWith("banger.cjs.") && name.endsWith(".cache"))
    await rm(join(dist, name));
await rename(`${bundle}.new`, bundle);
await writeFile(join(dist, "build-id"), `${await hashDaemon()}\n`);
await copyFile(join(here, "start.cjs"), join(dist, "banger-start.cjs"));
await chmod(join(dist, "banger-start.cjs"), 0o755);
await makeCodeCache(`${bundle}.${process.version}-${process.arch}.cache`);

/** Names the code that a daemon runs, so that a CLI of other code replaces it: 12 hexadecimal digits. */
async function hashDaemon() {
  const plugins = await readdir(join(root, "plugins"));
  const folders = [
    "core",
    "host",
    "cli",
    ...plugins.map((name) => `plugins/${name}`),
  ];
  // What only the command line runs does not make a running daemon outdated.
  const foreign =
    /^cli\/dist\/(client|commands|render|terminal|workspace)\/|^cli\/dist\/(io|main|process-io|run-cli)\.js$/;
  const hash = createHash("sha256");
  for (const folder of folders.sort()) {
    const below = join(root, folder, "dist");
    for (const file of (await readdir(below, { recursive: true })).sort()) {
      const path = `${folder}/dist/${file}`;
      if (!file.endsWith(".js") || foreign.test(path)) continue;
      hash.update(`${path}\0`).update(await readFile(join(below, file)));
    }
  }
  return hash.digest("hex").slice(0, 12);
}

/** Best effort: without a cache the CLI works and starts some milliseconds later. */
async function makeCodeCache(cache) {
  const home = await mkdtemp(join(tmpdir(), "banger-warm-up-"));
  const server = createServer(({ url }, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(WARM_UP.answers[url.split("?")[0]] ?? {}));
  });
  try {
    const socket = join(home, "stand-in.sock");
    await new Promise((done) => server.listen(socket, done));
    // NODE_OPTIONS may hold V8 flags, and those are part of what V8 compares.
    const env = {
      ...process.env,
      BANGER_HOME: home,
      HOME: home,
      NODE_OPTIONS: "",
    };
    const child = spawn(
      process.execPath,
      [join(here, "warm-up.cjs"), bundle, cache, socket, ...WARM_UP.args],
      {
        env,
        stdio: "ignore",
        timeout: 20_000,
      },
    );
    await new Promise((done, failed) =>
      child.once("exit", done).once("error", failed),
    );
  } catch (error) {
    console.error(`no code cache for the CLI: ${error.message}`);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(home, { recursive: true, force: true });
  }
}
