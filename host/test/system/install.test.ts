import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InstallNamespace } from "./namespace.js";

const program = "/usr/local/lib/banger/PROGRAM";
const modules = `${program}/node_modules`;
const wholeTree = [
  "/etc/banger d 0755 0:0",
  "/etc/banger/install.json f 0644 0:0",
  "/etc/systemd/system/banger-root.service f 0644 0:0",
  "/etc/systemd/system/bangerd.service f 0644 0:0",
  "/usr/local/bin/banger l 0777 0:0 /usr/local/lib/banger/current/bin/banger",
  "/usr/local/lib/banger d 0755 0:0",
  `${program} d 0755 0:0`,
  `${program}/bin d 0755 0:0`,
  `${program}/bin/banger f 0755 0:0`,
  `${modules} d 0755 0:0`,
  `${modules}/@banger d 0755 0:0`,
  `${modules}/@banger/cli d 0755 0:0`,
  `${modules}/@banger/cli/dist d 0755 0:0`,
  `${modules}/@banger/cli/dist/banger-start.cjs f 0755 0:0`,
  `${modules}/@banger/cli/package.json f 0644 0:0`,
  `${modules}/@banger/plugin-x d 0755 0:0`,
  `${modules}/@banger/plugin-x/node_modules d 0755 0:0`,
  `${modules}/@banger/plugin-x/node_modules/lib d 0755 0:0`,
  `${modules}/@banger/plugin-x/node_modules/lib/package.json f 0644 0:0`,
  `${modules}/@banger/plugin-x/package.json f 0644 0:0`,
  `${modules}/lib d 0755 0:0`,
  `${modules}/lib/package.json f 0644 0:0`,
  "/usr/local/lib/banger/current l 0777 0:0 PROGRAM",
  "/usr/local/lib/banger/node_modules l 0777 0:0 current/node_modules",
  "/usr/local/lib/banger/plugins d 0755 0:0",
  "/var/cache/banger d 0700 4321:4321",
  "/var/lib/banger d 0755 0:0",
  "/var/lib/banger/config d 0700 4321:4321",
  "/var/lib/banger/config/config.toml f 0600 4321:4321",
  "/var/lib/banger/jail d 0711 0:0",
  "/var/lib/banger/state d 0700 4321:4321",
].sort();

/** Many installs, each with programs that are started. */
const slowMs = 180_000;

// Only root can make what an install makes, and namespaces in which it does no harm.
describe.runIf(process.getuid?.() === 0)(
  "installing on a host",
  { timeout: slowMs },
  () => {
    const namespace = new InstallNamespace();
    beforeAll(() => namespace.prepare());
    afterAll(() => {
      namespace.remove();
    });

    it("makes exactly its tree", () => {
      const { record, tree, told, config } = namespace.run("tree") as {
        record: { program: string };
        tree: Record<string, string>;
        told: readonly string[];
        config: string;
      };
      const shown = Object.entries(tree).map(([path, what]) =>
        // Sizes are those of files that this test does not choose.
        `${path} ${what.replace(/ \d+$/, "")}`
          .replaceAll(record.program, "PROGRAM")
          .trimEnd(),
      );
      const isNode = (line: string): boolean => line.includes("/bin/node ");
      expect(shown.filter(isNode)).toHaveLength(1);
      expect(shown.filter((line) => !isNode(line)).sort()).toEqual(wholeTree);
      expect(record).toMatchObject({
        format: 1,
        owner: { name: "banger-test-owner", uid: 4321 },
        service: "systemd",
        plugins: ["@banger/plugin-x"],
        parents: [],
      });
      expect(told).toEqual([
        "daemon-reload",
        "enable banger-root.service bangerd.service",
        "restart banger-root.service",
        "restart bangerd.service",
      ]);
      expect(config).toContain('mode = "bridge"');
    });

    it("brings an install up to date, and keeps its data", () => {
      const { first, second, data } = namespace.run("twice") as {
        first: Record<string, string>;
        second: Record<string, string>;
        data: string;
      };
      const programs = (tree: Record<string, string>): readonly string[] =>
        Object.keys(tree).filter((path) => /\/program-[^/]*$/.test(path));
      expect(programs(first)).toHaveLength(1);
      expect(programs(second)).toHaveLength(1);
      expect(programs(second)).not.toEqual(programs(first));
      expect(data).toBe("data");
    });

    it.each(["install killed", "uninstall killed"])(
      "leaves nothing after an %s at any step",
      (scenario) => {
        const left = namespace.run(scenario) as Record<
          string,
          readonly string[]
        >;
        expect(Object.keys(left).length).toBeGreaterThan(8);
        expect(Object.values(left).flat()).toEqual([]);
      },
    );

    it("removes what a record that was being written has left", () => {
      expect(namespace.run("half written")).toEqual([]);
    });

    it("keeps data unless they are to go", () => {
      const { report, left, removedTraces } = namespace.run("keep") as {
        report: { kept: readonly string[] };
        left: readonly string[];
        removedTraces: readonly number[];
      };
      expect(report.kept).toEqual([
        "/var/lib/banger/config",
        "/var/lib/banger/state",
        "/var/cache/banger",
      ]);
      expect(left.map((line) => line.split(":")[0]).sort()).toEqual([
        "/var/cache/banger",
        "/var/lib/banger",
        "/var/lib/banger/config",
        "/var/lib/banger/config/config.toml",
        "/var/lib/banger/state",
      ]);
      expect(removedTraces).toEqual([4321]);
    });

    it("touches nothing where somebody else's files are", () => {
      expect(namespace.run("foreign")).toMatchObject({
        error: {
          code: "ERR_INSTALL_FOREIGN_FILE",
          details: [
            "/usr/local/bin/banger is not a link to banger",
            "/etc/systemd/system/bangerd.service is another unit",
            "/usr/local/lib/banger is there, and no record of an install",
          ],
        },
        changed: [],
      });
    });

    it("refuses a second owner, and the data of another one", () => {
      expect(namespace.run("other owner")).toMatchObject({
        other: { code: "ERR_INSTALL_OTHER_OWNER" },
        data: { code: "ERR_INSTALL_OTHER_OWNER" },
      });
    });

    it("maps the owner's ids where nothing can gain rights, and only the owner's", () => {
      expect(namespace.run("map ids")).toMatchObject({
        lines: ["0", "0", "2", "mounted"],
        // The first subordinate id is 1 in the namespace.
        offset: [4, 5],
        mode: 0o4755,
        // root's process, another user's namespace, the host's own namespace, nobody.
        answers: Array.from({ length: 4 }, () => ({ code: "ERR_ID_MAP" })),
      });
    });

    it("does without systemd, also after a reboot", () => {
      expect(namespace.run("no systemd")).toEqual({
        run: {
          "/run/banger": "d 0700 4321:4321 ",
          "/run/banger-root": "d 0711 0:0 ",
        },
        told: [],
        left: [],
      });
    });

    it("believes no record that others can write", () => {
      expect(namespace.run("open record")).toMatchObject([
        { code: "ERR_INSTALL_RECORD" },
        { code: "ERR_INSTALL_RECORD" },
      ]);
    });
  },
);
