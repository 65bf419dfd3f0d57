import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  mkdtempSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { newcEntry, newcTrailer } from "@banger/core";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { Home, type Outcome } from "./harness.js";

/** Makes an image of the default one's files with another initramfs. */
function imageWithInit(home: Home, name: string, init: string): void {
  const images = join(home.path, "state/images");
  const [source = ""] = execFileSync(
    "sh",
    ["-c", `ls -d ${inject("imagesDirectory")}/debian-*`],
    {
      encoding: "utf8",
    },
  ).split("\n");
  const directory = join(images, name);
  mkdirSync(directory);
  for (const file of ["rootfs.ext4", "vmlinuz", "work-seed.tar"]) {
    symlinkSync(join(source, file), join(directory, file));
  }
  const manifest = JSON.parse(
    execFileSync("cat", [join(source, "manifest.json")], { encoding: "utf8" }),
  ) as object;
  writeFileSync(
    join(directory, "manifest.json"),
    JSON.stringify({ ...manifest, id: name, name }),
  );
  const archive = [
    ...newcEntry({ kind: "directory", path: "bin", mode: 0o755 }),
    ...newcEntry({
      kind: "file",
      path: "bin/busybox",
      mode: 0o755,
      content: execFileSync("cat", ["/bin/busybox"], {
        maxBuffer: 16 * 2 ** 20,
      }),
    }),
    ...newcEntry({ kind: "file", path: "init", mode: 0o755, content: init }),
    newcTrailer(),
  ];
  writeFileSync(join(directory, "initrd"), Buffer.concat(archive));
}

describe("bad input", () => {
  let home: Home;
  let before: HostInventory;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(15373));
    // Images of this file's own beside the shared one.
    rmSync(join(home.path, "state/images"));
    mkdirSync(join(home.path, "state/images"));
    cpSync(inject("imagesDirectory"), join(home.path, "state/images"), {
      recursive: true,
      // Files of a gigabyte need not be copied for reading.
      filter: (path) =>
        !/\/(rootfs\.ext4|vmlinuz|initrd|work-seed\.tar)$/.test(path),
    });
    linkFiles(home);
    // Whether KVM works is found out with a whole image: a broken one would tell nothing.
    const small = ["--memory", "256M", "--disk-size", "64M"];
    await home.ok(["vm", "run", "--rm", ...small, "--", "true"]);
    home.configure("\n[vmm]\nready_timeout = 8\n");
    before = takeInventory(home.path);
  });
  afterAll(() => home.remove());

  const refused = async (...args: string[]): Promise<Outcome> => {
    const outcome = await home.run(args);
    expect(outcome.stdout).toBe("");
    expect(await home.ok(["vm", "list", "-a", "-q"])).toBe("");
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
    return outcome;
  };

  it.each([
    [["--name", "Upper"], "ERR_INVALID_VALUE", "lower-case"],
    [["--name=-dash"], "ERR_INVALID_VALUE", "lower-case"],
    [["--name", "x".repeat(64)], "ERR_INVALID_VALUE", "63"],
    [["--vcpu", "0"], "ERR_INVALID_VALUE", "Choose 1 to"],
    [["--vcpu", "9999"], "ERR_INVALID_VALUE", "this host has"],
    [["--memory", "1"], "ERR_INVALID_VALUE", "128M"],
    [["--memory", "999T"], "ERR_INVALID_VALUE", "this host has"],
    [["--memory", "much"], "ERR_INVALID_VALUE", "512M"],
    [["--disk-size", "1K"], "ERR_INVALID_VALUE", "16 MiB"],
    [["--image", "debian-bokworm"], "ERR_IMAGE_NOT_FOUND", "debian-bookworm"],
    [["--plugin", "natt"], "ERR_PLUGIN_NOT_FOUND", "nat"],
    [["--no-plugin", "dnss"], "ERR_PLUGIN_NOT_FOUND", "dns"],
  ])(
    "refuses vm create %j with %s and a next step",
    async (args, code, hint) => {
      const outcome = await refused("vm", "create", ...args);
      expect(outcome.status).toBeGreaterThan(0);
      expect(outcome.stderr).toContain(code);
      expect(outcome.stderr).toContain(hint);
    },
  );

  it.each([
    [["vm", "create", "--vcpuu", "1"], "--vcpu"],
    [["vm", "crate"], "create"],
    [["imagee", "list"], "image"],
    [["vm", "run", "-d", "--rm"], "--rm"],
    [["vm", "run", "-d", "--", "true"], "-d"],
    [["vm", "create", "--vcpu", "many"], "vcpu"],
  ])("calls %j wrong usage", async (args, hint) => {
    const outcome = await refused(...args);
    expect(outcome.stderr).toContain(hint);
    expect(outcome.status).toBe(2);
  });

  it("refuses a path that is in no repository before anything is made", async () => {
    const folder = mkdtempSync(join(tmpdir(), "banger-no-repo-"));
    const outcome = await refused("vm", "run", folder, "--rm", "--", "true");
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toContain("git");
    rmSync(folder, { recursive: true });
  });

  it.each([
    ["panics", "#!/bin/busybox sh\necho soon gone\nexit 1\n", "Kernel panic"],
    [
      "never answers",
      "#!/bin/busybox sh\necho still here\nexec /bin/busybox sleep 1000\n",
      "still here",
    ],
  ])(
    "keeps a VM whose guest %s, with its last console lines",
    async (what, init, line) => {
      const image = what.replace(" ", "-");
      imageWithInit(home, image, init);
      const outcome = await home.run([
        "vm",
        "run",
        "--name",
        "broken",
        "--image",
        image,
        "--",
        "true",
      ]);
      expect(outcome.status).toBe(125);
      expect(outcome.stderr).toContain("ERR_GUEST_NOT_READY");
      expect(outcome.stderr).toContain(line);
      expect(await home.json(["vm", "show", "broken", "--json"])).toMatchObject(
        { state: "error" },
      );
      expect(await home.ok(["vm", "logs", "broken"])).toContain(line);
      const left = leaks(before, takeInventory(home.path));
      expect(
        left.filter((entry) => !/^(VM directory|row)/.test(entry)),
      ).toEqual([]);
      await home.ok(["vm", "delete", "broken"]);
      expect(leaks(before, takeInventory(home.path))).toEqual([]);
    },
  );

  it("names file and line of a config that does not parse, and the nearest key of one that does", async () => {
    const broken = new Home("[vmm]\naccel = \n");
    const syntax = await broken.run(["vm", "list"]);
    expect(syntax.status).not.toBe(0);
    expect(syntax.stderr).toContain("ERR_CONFIG_SYNTAX");
    expect(syntax.stderr).toMatch(/config\.toml:2/);
    writeFileSync(join(broken.path, "config.toml"), "[vmm]\nacel = 'kvm'\n");
    const key = await broken.run(["vm", "list"]);
    expect(key.stderr).toContain("ERR_CONFIG_INVALID");
    expect(key.stderr).toContain("accel");
    rmSync(broken.path, { recursive: true });
  });
});

function linkFiles(home: Home): void {
  const images = join(home.path, "state/images");
  const shared = inject("imagesDirectory");
  const listed = execFileSync(
    "find",
    [shared, "-type", "f", "-not", "-name", "manifest.json"],
    {
      encoding: "utf8",
    },
  );
  for (const file of listed.split("\n").filter(Boolean)) {
    symlinkSync(file, join(images, file.slice(shared.length)));
  }
}
