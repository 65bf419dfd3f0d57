import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { describePluginContract } from "@banger/core/testing";
import {
  collectRequests,
  hostRequests,
  pingRequest,
} from "@banger/host/helper";
import { plugin as dns } from "@banger/plugin-dns";
import { plugin as fileSync } from "@banger/plugin-file-sync";
import { plugin as nat } from "@banger/plugin-nat";
import { plugin as workDisk } from "@banger/plugin-work-disk";
import { plugin } from "./examples/greeter.js";

const root = resolve(import.meta.dirname, "..");
const text = (path: string): string => readFileSync(join(root, path), "utf8");

/** Files below a folder of the repository whose name ends so, as paths from its root. */
function files(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(
    (entry) => {
      if (["node_modules", "dist", ".git"].includes(entry.name)) return [];
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return files(path, ending);
      return entry.isFile() && entry.name.endsWith(ending) ? [path] : [];
    },
  );
}

const documents = files(".", ".md");
const plugins = readdirSync(join(root, "plugins"));
const readme = text("README.md");

/** A document without what it shows in code: a link or a heading there is none. */
function prose(document: string): string {
  return document
    .replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "")
    .replaceAll(/^ {4,}.*$/gm, "")
    .replaceAll(/`[^`\n]*`/g, "");
}

/** Headings of one level, in order. */
function headings(document: string, level: number): string[] {
  const mark = `${"#".repeat(level)} `;
  return prose(document)
    .split("\n")
    .filter((line) => line.startsWith(mark))
    .map((line) => line.slice(mark.length).trim());
}

/** What GitHub makes of a heading for a link to it. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

describe("links", () => {
  const links = documents.flatMap((document) =>
    [...prose(text(document)).matchAll(/\]\(([^()\s]+)\)/g)].map(
      ([, target = ""]) => ({ document, target }),
    ),
  );

  it("are found at all", () => {
    expect(links.length).toBeGreaterThan(10);
  });

  it.each(links.filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/.test(target)))(
    "$document leads to $target",
    ({ document, target }) => {
      const [path = "", fragment] = target.split("#");
      const file = path === "" ? document : join(dirname(document), path);
      expect(relative(".", file)).not.toMatch(/^\.\./);
      expect(existsSync(join(root, file))).toBe(true);
      if (fragment === undefined) return;
      const anchors = [1, 2, 3, 4].flatMap((level) =>
        headings(text(file), level).map(anchor),
      );
      expect(anchors).toContain(fragment);
    },
  );
});

describe("docs/errors.md", () => {
  /** Codes of Node, not ours, that the sources look for. */
  const ofNode = [
    "ERR_PACKAGE_PATH_NOT_EXPORTED",
    "ERR_STREAM_PREMATURE_CLOSE",
  ];
  const sources = [
    "core/src",
    "host/src",
    "cli/src",
    ...plugins.map((name) => `plugins/${name}/src`),
  ].flatMap((folder) => files(folder, ".ts").map((path) => text(path)));
  const codes = (strings: readonly string[]): string[] =>
    [
      ...new Set(
        strings.flatMap((string) => string.match(/\bERR_[A-Z_]+\b/g) ?? []),
      ),
    ].sort();
  const rows = text("docs/errors.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim()));

  it("has a row for every code in the sources, and no other", () => {
    const documented = rows.map(([, code = ""]) => code.replaceAll("`", ""));
    expect([...documented].sort()).toEqual(
      codes(sources).filter((code) => !ofNode.includes(code)),
    );
  });

  it("says what each means and what to do next", () => {
    const incomplete = rows.filter(([, , meaning, next]) => !meaning || !next);
    expect(incomplete).toEqual([]);
  });

  it.each(documents)("is where %s takes its codes from", (document) => {
    const known = [...codes(sources)];
    expect(
      codes([text(document)]).filter((code) => !known.includes(code)),
    ).toEqual([]);
  });
});

describe("README", () => {
  it("has its two commands, and the repository has what they run", () => {
    expect(readme).toContain(
      "    ./banger vm run --yes --rm -- uname -a\n    npm test\n",
    );
    expect(statSync(join(root, "banger")).mode & 0o111).toBe(0o111);
    const { scripts } = JSON.parse(text("package.json")) as {
      scripts: Record<string, string>;
    };
    const [program, script = ""] = (scripts["test"] ?? "").split(" ");
    expect(program).toBe("node");
    expect(existsSync(join(root, script))).toBe(true);
  });

  it("lists the host packages that setup installs", () => {
    const wanted = [
      ...text("host/src/setup/requirements.ts").matchAll(
        /packageName: "([^"]+)"/g,
      ),
    ].map(([, name = ""]) => name);
    const listed = [...readme.matchAll(/^\| `([a-z0-9-]+)` +\|/gm)]
      .map(([, name = ""]) => name)
      .filter((name) => !hookNames.includes(name));
    expect(wanted.length).toBeGreaterThan(3);
    expect(listed.sort()).toEqual(wanted.sort());
  });

  /** The first fenced block behind a marker. */
  const shown = (marker: string): string => {
    const behind = readme.split(`<!-- begin ${marker} -->`)[1] ?? "";
    return /```\w+\n([\s\S]*?)```/.exec(behind)?.[1] ?? "";
  };

  it("shows the example plugin as it is compiled and tested", () => {
    expect(shown("test/examples/greeter.ts")).toBe(
      text("test/examples/greeter.ts"),
    );
  });

  const manifest: unknown = JSON.parse(shown("manifest"));
  describePluginContract(plugin, {
    runner: { describe, it },
    packageJson: manifest,
    section: {},
  });

  it("names the eight hooks in picture and table", () => {
    const picture = readme.slice(
      readme.indexOf("## Plugins"),
      readme.indexOf("| hook "),
    );
    for (const hook of hookNames) {
      expect(picture).toContain(hook);
      expect(readme).toMatch(new RegExp(`^\\| \`${hook}\` +\\| \\S`, "m"));
    }
  });
});

const hookNames = [
  "preflight",
  "guestConfig",
  "machineConfig",
  "prepareHost",
  "postStart",
  "cleanup",
  "configChange",
  "doctor",
];

describe("folders", () => {
  it.each(["core", "host", "cli", "test"])(
    "%s/README.md says where to read, what may be imported, how to test",
    (folder) => {
      const document = text(`${folder}/README.md`);
      expect(introduction(document)).not.toBe("");
      expect(headings(document, 2)).toEqual([
        "Where to start reading",
        "What it may import",
        "How to test it",
      ]);
    },
  );
});

describe("first-party plugins", () => {
  /** What the plugin adds comes first, with or without a heading of its own. */
  const sections = [
    /^Enable it$/,
    /^Config(uration)?$/,
    /^Hooks$/,
    /^(What it creates on|On) the host$/,
    /^Remove it by hand$/,
    /^Checks$/,
  ];

  it.each(plugins)("plugins/%s/README.md has its sections in order", (name) => {
    const document = text(`plugins/${name}/README.md`);
    const found = headings(document, 2);
    expect(introduction(document, ["What it adds"])).not.toBe("");
    const order = sections.map((section) =>
      found.findIndex((heading) => section.test(heading)),
    );
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it.each(plugins)("plugins/%s/README.md names its own checks", (name) => {
    const document = text(`plugins/${name}/README.md`);
    const behind = document.slice(document.indexOf("\n## Checks"));
    const documented = [...behind.matchAll(/^\| `([a-z0-9.-]+)`/gm)].map(
      ([, id = ""]) => id,
    );
    const inSources = files(`plugins/${name}/src`, ".ts").flatMap((path) =>
      [
        ...text(path).matchAll(
          new RegExp(`\\bid: "(${name}\\.[a-z0-9.-]+)",\\s+title`, "g"),
        ),
      ].map(([, id = ""]) => id),
    );
    expect(documented.length).toBeGreaterThan(0);
    expect(
      [...new Set(inSources)].filter((id) => !documented.includes(id)),
    ).toEqual([]);
  });
});

describe("decisions", () => {
  const decisions = files("docs/adr", ".md").sort();

  it("are numbered without a gap", () => {
    const numbers = decisions.map((path) => path.slice("docs/adr/".length, 13));
    expect(numbers).toEqual(
      decisions.map((_, index) => String(index + 1).padStart(4, "0")),
    );
  });

  it.each(decisions)("%s has its three sections within 40 lines", (path) => {
    const document = text(path);
    const number = path.slice("docs/adr/".length, 13);
    expect(headings(document, 1)[0]).toMatch(new RegExp(`^${number}: \\S`));
    expect(headings(document, 2)).toEqual([
      "Context",
      "Decision",
      "Consequences",
    ]);
    const bodies = document.split(/^## .*$/m).slice(1);
    expect(bodies.filter((body) => body.trim() === "")).toEqual([]);
    expect(document.trimEnd().split("\n").length).toBeLessThanOrEqual(40);
  });

  it.each(decisions)("%s is reached from the README", (path) => {
    expect(readme).toContain(`](${path})`);
  });
});

describe("every document", () => {
  it.each(documents)("%s begins with one title", (path) => {
    expect(headings(text(path), 1)).toHaveLength(1);
  });
});

/** The text between the title and the first section; of these sections, their own text counts too. */
function introduction(document: string, also: readonly string[] = []): string {
  const [, title = "", ...rest] = document.split(/^#{1,2} /m);
  const added = rest.filter((section) =>
    also.includes(section.split("\n")[0] ?? ""),
  );
  return [title, ...added]
    .map((section) => section.split("\n").slice(1).join("\n"))
    .join("\n")
    .trim();
}

describe("docs/privileges.md", () => {
  const requests = collectRequests({
    host: [
      pingRequest({ version: "1", build: "0" }),
      ...hostRequests({ jailBase: "/nonexistent" }),
    ],
    plugins: [dns, fileSync, nat, workDisk],
  });
  const rows = text("docs/privileges.md")
    .split("\n")
    .flatMap((line) => /^\| `([a-z-]+\.[a-z-]+)`/.exec(line)?.[1] ?? []);

  it("has a row for each request that root carries out, and none of others", () => {
    expect(rows.toSorted()).toEqual([...requests.keys()].toSorted());
  });
});
