import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startOutside, type Outside } from "../outside.js";
import { Home } from "./harness.js";

describe("the capabilities in real guests", () => {
  let home: Home;
  let outside: Outside;
  beforeAll(async () => {
    home = new Home();
    const files = join(home.path, "files");
    mkdirSync(join(files, "tree/inner"), { recursive: true });
    writeFileSync(join(files, "secret"), "s3cret\n", { mode: 0o644 });
    writeFileSync(join(files, "tree/tool"), "#!/bin/sh\necho tool\n", {
      mode: 0o755,
    });
    chmodSync(join(files, "tree/tool"), 0o755);
    writeFileSync(join(files, "tree/inner/data"), "data\n", { mode: 0o640 });
    symlinkSync("/etc/shadow", join(files, "tree/outside"));
    home.configure(`${Home.dnsConfig(15372)}
[[plugins.file-sync.entries]]
host = "${files}/secret"
guest = "~/.secret"

[[plugins.file-sync.entries]]
host = "${files}/tree"
guest = "/root/tree"

[[plugins.file-sync.entries]]
host = "${files}/missing"
guest = "~/missing"
`);
    outside = await startOutside("hello from outside\n");
  });
  afterAll(async () => {
    await outside.stop();
    await home.remove();
  });

  it("syncs files on every start, and lets no link lead outside", async () => {
    const started = await home.run(["vm", "run", "-d", "--name", "sync"]);
    expect(started.stderr).toContain("missing");
    expect(started.stderr).toContain("outside");
    const guest = (...argv: string[]): Promise<string> =>
      home.ok(["vm", "exec", "sync", "--", ...argv]);
    const paths = [".secret", "tree/tool", "tree/inner/data"].map(
      (path) => `/root/${path}`,
    );
    expect(await guest("stat", "-c", "%a %U:%G %s", ...paths)).toBe(
      "600 root:root 7\n755 root:root 20\n640 root:root 5\n",
    );
    expect(await guest("stat", "-c", "%a %U:%G", "/root", "/root/.ssh")).toBe(
      "700 root:root\n700 root:root\n",
    );
    expect(
      (await home.run(["vm", "exec", "sync", "--", "ls", "/root/tree/outside"]))
        .status,
    ).toBe(2);
    writeFileSync(join(home.path, "files/secret"), "changed\n");
    await guest(
      "sh",
      "-c",
      "echo mine > /root/tree/tool; echo own > /root/own",
    );
    await home.ok(["vm", "stop", "sync"]);
    await home.ok(["vm", "start", "sync"]);
    expect(await guest("cat", "/root/.secret", "/root/own")).toBe(
      "changed\nown\n",
    );
    expect(await guest("/root/tree/tool")).toBe("tool\n");
  });

  it("lets nothing out without --nat", async () => {
    const fetched = await home.run([
      "vm",
      "exec",
      "sync",
      "--",
      "curl",
      "-sS",
      "-m",
      "5",
      outside.url,
    ]);
    expect(fetched.status).not.toBe(0);
    expect(fetched.stdout).toBe("");
    await home.ok(["vm", "delete", "sync"]);
  });

  it("opens the way out with --nat, also when it is set while stopped", async () => {
    const fetch = ["curl", "-sS", "-m", "20", outside.url];
    const run = await home.run(["vm", "run", "--rm", "--nat", "--", ...fetch]);
    expect(run.stdout).toBe("hello from outside\n");
    await home.ok(["vm", "create", "--no-start", "--name", "later"]);
    await home.ok(["vm", "set", "later", "--nat"]);
    await home.ok(["vm", "start", "later"]);
    expect(await home.ok(["vm", "exec", "later", "--", ...fetch])).toBe(
      "hello from outside\n",
    );
    await home.ok(["vm", "delete", "later"]);
  });

  it("starts without any plugin: no disk at /root, no way out, and still reachable", async () => {
    const without = ["file-sync", "work-disk", "dns", "nat"].flatMap((id) => [
      "--no-plugin",
      id,
    ]);
    const run = await home.run([
      "vm",
      "run",
      "--rm",
      ...without,
      "--",
      "findmnt",
      "-no",
      "SOURCE",
      "/root",
    ]);
    expect(run.status).toBe(1);
    const nat = await home.run([
      "vm",
      "run",
      "--rm",
      "--nat",
      "--no-plugin",
      "nat",
      "--",
      "true",
    ]);
    expect(nat.stderr).toContain("ERR_NAT_UNAVAILABLE");
    expect(nat.status).toBe(2);
    expect(await home.ok(["vm", "list", "-a", "-q"])).toBe("");
  });

  it("refuses a plugin whose requirement is left out", async () => {
    const run = await home.run([
      "vm",
      "run",
      "--rm",
      "--no-plugin",
      "work-disk",
      "--",
      "true",
    ]);
    expect(run.stderr).toContain("ERR_PLUGIN_ORDER");
    expect(run.stderr).toContain("file-sync");
  });
});
