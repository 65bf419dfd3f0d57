import { execFile } from "node:child_process";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import ssh2 from "ssh2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileGuestKeys } from "../../src/keys/file-guest-keys.js";
import {
  generateOpenSshKeyPair,
  parseOpenSshKeyPair,
} from "../../src/keys/openssh-key.js";
import { fakeVm, silentLogger } from "../guest-ssh/fixtures.js";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "banger-keys-"));
});
afterEach(() => rm(home, { recursive: true }));

const newKeys = (): FileGuestKeys =>
  new FileGuestKeys({ sshDirectory: join(home, "ssh"), logger: silentLogger });
const clientPath = (): string => join(home, "ssh/id_ed25519");

describe("OpenSSH keys", () => {
  it("are read by ssh2, whatever the lengths in them", () => {
    for (let round = 0; round < 50; round++) {
      const pair = generateOpenSshKeyPair("c".repeat(round));
      const parsed = ssh2.utils.parseKey(pair.privateKey);
      if (parsed instanceof Error) throw parsed;
      expect(parsed.getPublicSSH().toString("base64")).toBe(
        pair.publicKey.split(" ")[1],
      );
      const signature = parsed.sign("text");
      const publicKey = ssh2.utils.parseKey(pair.publicKey);
      if (publicKey instanceof Error) throw publicKey;
      expect(publicKey.verify("text", signature)).toBe(true);
      expect(parseOpenSshKeyPair(pair.privateKey)).toEqual(pair);
    }
  });

  it("are read by ssh-keygen where it is installed", async () => {
    const path = join(home, "key");
    const pair = generateOpenSshKeyPair("banger");
    await writeFile(path, pair.privateKey, { mode: 0o600 });
    const derived = await promisify(execFile)("ssh-keygen", ["-y", "-f", path])
      .then(({ stdout }) => stdout.trim())
      .catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT")
          return pair.publicKey;
        throw error;
      });
    expect(derived).toBe(pair.publicKey);
  });

  it("are refused for every byte that is changed or cut off", () => {
    const { privateKey } = generateOpenSshKeyPair("banger");
    const lines = privateKey.trim().split("\n");
    const blob = Buffer.from(lines.slice(1, -1).join(""), "base64");
    const armour = (bytes: Buffer): string =>
      [lines[0], bytes.toString("base64"), lines.at(-1)].join("\n");
    expect(() => parseOpenSshKeyPair(armour(blob))).not.toThrow();
    // Beyond the secret come only comment and padding, which identify nobody.
    const secretEnd = blob.length - 16;
    for (let at = 0; at < secretEnd; at++) {
      const changed = Buffer.from(blob);
      changed[at] = changed[at]! ^ 0x41;
      expect(() => parseOpenSshKeyPair(armour(changed)), `byte ${at}`).toThrow(
        Error,
      );
      expect(() => parseOpenSshKeyPair(armour(blob.subarray(0, at)))).toThrow(
        Error,
      );
    }
  });
});

describe("FileGuestKeys", () => {
  it("makes the client key once, for its owner alone", async () => {
    const keys = newKeys();
    const first = await keys.authorizedKey();
    expect(first).toMatch(/^ssh-ed25519 [A-Za-z0-9+/=]+ banger$/);
    expect((await stat(clientPath())).mode & 0o777).toBe(0o600);
    expect((await stat(join(home, "ssh"))).mode & 0o777).toBe(0o700);
    expect(await newKeys().authorizedKey()).toBe(first);
    expect(await readFile(clientPath(), "utf8")).toBe(
      await keys.clientPrivateKey(),
    );
    expect(await readdir(join(home, "ssh"))).toEqual(["id_ed25519"]);
  });

  it("gives one key to first uses at the same time", async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, () => newKeys().authorizedKey()),
    );
    expect(new Set(all).size).toBe(1);
    expect(await readdir(join(home, "ssh"))).toEqual(["id_ed25519"]);
  });

  it("keeps a host key for each VM in the VM's directory", async () => {
    const [one, two] = ["one", "two"].map((name) =>
      fakeVm({ name, directory: join(home, "vms", name) }),
    );
    const keys = newKeys();
    const [first, again] = await Promise.all([
      keys.hostKey(one!),
      keys.hostKey(one!),
    ]);
    expect(again).toEqual(first);
    expect(await newKeys().hostKey(one!)).toEqual(first);
    expect((await keys.hostKey(two!)).publicKey).not.toBe(first.publicKey);
    const path = join(home, "vms/one/ssh_host_ed25519_key");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("refuses a key that others may read, and reads it once that is mended", async () => {
    await newKeys().authorizedKey();
    await chmod(clientPath(), 0o640);
    const keys = newKeys();
    await expect(keys.authorizedKey()).rejects.toMatchObject({
      code: "ERR_KEY_FILE",
      hint: `Take the rights away: chmod 600 ${clientPath()}`,
    });
    await chmod(clientPath(), 0o600);
    await expect(keys.authorizedKey()).resolves.toContain("ssh-ed25519");
  });

  it.each([
    ["an empty file", ""],
    ["a text", "hello"],
    ["too much", "x".repeat(20_000)],
    [
      "a cut key",
      generateOpenSshKeyPair("banger").privateKey.replace(
        /.{30}\n-----END/,
        "\n-----END",
      ),
    ],
  ])("refuses %s and leaves it alone", async (_what, content) => {
    await mkdir(join(home, "ssh"), { mode: 0o700 });
    await writeFile(clientPath(), content, { mode: 0o600 });
    await expect(newKeys().authorizedKey()).rejects.toMatchObject({
      code: "ERR_KEY_FILE",
      hint: expect.stringContaining("remove that file") as string,
    });
    expect(await readFile(clientPath(), "utf8")).toBe(content);
  });

  it("follows no symbolic link and makes no key where others write", async () => {
    await mkdir(join(home, "ssh"), { mode: 0o700 });
    await symlink("/etc/hostname", clientPath());
    await expect(newKeys().authorizedKey()).rejects.toMatchObject({
      code: "ERR_KEY_FILE",
    });
    await rm(clientPath());
    await chmod(join(home, "ssh"), 0o777);
    await expect(newKeys().authorizedKey()).rejects.toMatchObject({
      code: "ERR_KEY_FILE",
      hint: expect.stringContaining("chmod 700") as string,
    });
    expect(await readdir(join(home, "ssh"))).toEqual([]);
  });
});
