"use strict";

/**
 * Which folder may import which, and where each runtime package lives. A wish for an exception is usually a missing
 * hook or contract in core: add that instead.
 */
const OURS = {
  core: [],
  host: ["core"],
  cli: ["core", "host"],
  plugins: ["core"],
};

/** npm package -> the only folders (regular expressions) that may import it. */
const HOMES = {
  tapable: ["core/"],
  awilix: ["core/"],
  zod: ["core/", "host/", "plugins/[^/]+/"],
  "better-sqlite3": ["host/"],
  execa: ["host/"],
  fastify: ["host/"],
  koffi: ["host/"],
  "smol-toml": ["host/"],
  ssh2: ["host/"],
  "tar-stream": ["host/", "plugins/work-disk/"],
  "dns-packet": ["plugins/dns/"],
  yargs: ["cli/"],
  winston: ["cli/"],
  "@clack/prompts": ["cli/"],
};

const folders = Object.keys(OURS);
// A workspace import resolves to its dist once built, and stays a bare name before that.
const anyOf = (names) =>
  names
    .map((name) =>
      name === "plugins"
        ? "^plugins/|^@banger/plugin-"
        : `^${name}/|^@banger/${name}(/|$)`,
    )
    .join("|");

module.exports = {
  forbidden: [
    ...folders.map((folder) => ({
      name: `${folder}-imports-${OURS[folder].join("-and-") || "none-of-ours"}`,
      severity: "error",
      from: {
        path:
          folder === "plugins"
            ? "^plugins/([^/]+)/(src|test)/"
            : `^${folder}/src/`,
      },
      to: {
        path: anyOf(
          [...folders, "test"].filter(
            (other) => !OURS[folder].includes(other) && other !== folder,
          ),
        ),
      },
    })),
    {
      name: "plugins-never-each-other",
      comment: "Plugins meet in a contract of core or in the manifest's order.",
      severity: "error",
      from: { path: "^plugins/([^/]+)/" },
      to: {
        path: "^plugins/|^@banger/plugin-",
        pathNot: "^plugins/$1/|^@banger/plugin-$1$",
      },
    },
    {
      name: "sources-never-tests",
      severity: "error",
      from: { path: "/src/" },
      to: { path: "(^|/)test/" },
    },
    ...Object.entries(HOMES).map(([name, homes]) => ({
      name: `home-of-${name}`,
      severity: "error",
      from: {
        path: "^(core|host|cli|plugins/[^/]+)/src/",
        pathNot: homes.map((home) => `^${home}`),
      },
      to: { path: `(^|/)node_modules/(@types/)?${name}/|^${name}(/|$)` },
    })),
    {
      name: "runtime-package-without-a-home",
      comment:
        "A new runtime dependency brings its reason into review and gets a line in HOMES.",
      severity: "error",
      from: { path: "^(core|host|cli|plugins/[^/]+)/src/" },
      to: {
        path: "(^|/)node_modules/",
        pathNot: [...Object.keys(HOMES), "@banger/[^/]+"]
          .map((name) => `(^|/)node_modules/(@types/)?${name}/`)
          .concat("(^|/)node_modules/@types/node/"),
      },
    },
    {
      name: "no-cycles",
      severity: "error",
      from: { path: "/src/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
  ],
  options: {
    doNotFollow: { path: "(^|/)(node_modules|dist)/" },
    exclude: { path: "(^|/)dist/.*\\.map$" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
    parser: "tsc",
  },
};
