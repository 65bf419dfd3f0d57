import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { BangerError } from "@banger/core";
import {
  generateOpenSshKeyPair,
  parseOpenSshKeyPair,
  type OpenSshKeyPair,
} from "./openssh-key.js";

/** A key file that cannot be used as it is. */
class KeyFileError extends BangerError {
  override readonly code = "ERR_KEY_FILE";
  constructor(path: string, what: string, hint: string, cause?: unknown) {
    super(`the SSH key ${path} ${what}`, { hint, cause });
  }
}

/** An OpenSSH private key of ed25519 has about 400 bytes. */
const maxKeyFileBytes = 16 * 1024;

/**
 * The key pair in a file, made on first use. Made atomically: whoever comes at the same time, in this process or another, gets the
 * same key, and a crash leaves either no key or a whole one.
 * @param comment the last word of the public key of a new pair
 * @param ifUseless hint for a file whose content is no key
 * @throws {@link KeyFileError} for a file that others may read, or that holds no usable key
 */
export async function ensureKeyFile(
  path: string,
  comment: string,
  ifUseless: string,
): Promise<OpenSshKeyPair> {
  const found = await readKeyFile(path, ifUseless);
  if (found) return found;
  await ensurePrivateDirectory(dirname(path));
  await createKeyFile(path, generateOpenSshKeyPair(comment).privateKey);
  const made = await readKeyFile(path, ifUseless);
  if (!made)
    throw new KeyFileError(path, "went away while it was made", ifUseless);
  return made;
}

async function readKeyFile(
  path: string,
  ifUseless: string,
): Promise<OpenSshKeyPair | undefined> {
  const text = await readPrivately(path, ifUseless);
  if (text === undefined) return undefined;
  try {
    return parseOpenSshKeyPair(text);
  } catch (cause) {
    throw new KeyFileError(path, "is corrupt", ifUseless, cause);
  }
}

async function readPrivately(
  path: string,
  ifUseless: string,
): Promise<string | undefined> {
  let file;
  try {
    // O_NONBLOCK: a named pipe in the key's place must not hang the daemon.
    file = await open(
      path,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP")
      throw new KeyFileError(path, "is a symbolic link", ifUseless, error);
    throw error;
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.size > maxKeyFileBytes)
      throw new KeyFileError(path, "is no key file", ifUseless);
    if ((stats.mode & 0o077) !== 0)
      throw new KeyFileError(
        path,
        `may be used by others (mode ${(stats.mode & 0o777).toString(8)})`,
        `Take the rights away: chmod 600 ${path}`,
      );
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

async function ensurePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { mode } = await stat(path);
  if ((mode & 0o022) !== 0)
    throw new KeyFileError(
      path,
      "cannot be made safely: others may write to its directory",
      `Take the rights away: chmod 700 ${path}`,
    );
}

async function createKeyFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const file = await open(temporary, "wx", 0o600);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    // link(2), not rename(2): it refuses to replace a key that someone else has made meanwhile.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(temporary);
  }
}
