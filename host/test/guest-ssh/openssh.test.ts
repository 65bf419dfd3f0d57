import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { Ssh2GuestSsh } from "../../src/guest-ssh/ssh2-guest-ssh.js";
import { sshLimits } from "../../src/guest-ssh/ssh-limits.js";
import { FileGuestKeys } from "../../src/keys/file-guest-keys.js";
import { fakeVm, silentLogger } from "./fixtures.js";
import { describeCommands, type Guest } from "./guest-behaviour.js";

const sshd = "/usr/sbin/sshd";
// The same expectations run against the fake everywhere; a machine with OpenSSH and root checks the fake with them.
const here = existsSync(sshd) && process.getuid?.() === 0;

describe.skipIf(!here)("commands over OpenSSH", () => {
  let home: string;
  let server: ChildProcess;
  let guest: Guest;
  let ssh: Ssh2GuestSsh;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "banger-sshd-"));
    // sshd refuses an authorized_keys file below a directory that others may write to.
    await chmod(home, 0o755);
    await mkdir("/run/sshd", { recursive: true });
    const keys = new FileGuestKeys({
      sshDirectory: join(home, "ssh"),
      logger: silentLogger,
    });
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address() as AddressInfo;
    probe.close();
    const vm = fakeVm({
      directory: join(home, "vm"),
      ssh: { host: "127.0.0.1", port },
    });
    await keys.hostKey(vm);
    const authorized = join(home, "authorized_keys");
    await writeFile(authorized, `${await keys.authorizedKey()}\n`);
    const options = [
      "ListenAddress=127.0.0.1",
      `Port=${port}`,
      `HostKey=${join(home, "vm/ssh_host_ed25519_key")}`,
      `AuthorizedKeysFile=${authorized}`,
      "PermitRootLogin=yes",
      "StrictModes=no",
      "UsePAM=no",
      "MaxSessions=100",
      `PidFile=${join(home, "sshd.pid")}`,
    ];
    server = spawn(
      sshd,
      ["-D", "-e", "-f", "/dev/null", ...options.flatMap((o) => ["-o", o])],
      { stdio: "ignore" },
    );
    ssh = new Ssh2GuestSsh(
      { guestKeys: keys, logger: silentLogger },
      { ...sshLimits, connectTimeoutMs: 20_000, terminateGraceMs: 500 },
    );
    guest = { ssh, vm };
  });
  afterAll(async () => {
    await ssh.close();
    server.kill();
    await rm(home, { recursive: true });
  });

  describeCommands(() => guest, 100_000);
});
