import { join } from "node:path";
import type { GuestKeys, Logger, VmRecord } from "@banger/core";
import { ensureKeyFile } from "./key-file.js";
import type { OpenSshKeyPair } from "./openssh-key.js";

/** The host's own half of the client key; never handed to a guest or a plugin. */
export interface ClientKey {
  /**
   * The private key that logs in to every guest as root, OpenSSH format; made on first use.
   * @throws KeyFileError
   */
  clientPrivateKey(): Promise<string>;
}

/**
 * Keys in files: the install's client key in `<sshDirectory>/id_ed25519`, each VM's host key in
 * `<vm directory>/ssh_host_ed25519_key`. Files are 0600 in directories of mode 0700.
 */
export class FileGuestKeys implements GuestKeys, ClientKey {
  readonly #clientPath: string;
  readonly #logger: Logger;
  /** Kept once read: guests that run know this key, whatever happens to the file. */
  #client: Promise<OpenSshKeyPair> | undefined;

  constructor({
    sshDirectory,
    logger,
  }: {
    readonly sshDirectory: string;
    readonly logger: Logger;
  }) {
    this.#clientPath = join(sshDirectory, "id_ed25519");
    this.#logger = logger;
  }

  async authorizedKey(): Promise<string> {
    return (await this.#clientPair()).publicKey;
  }

  async clientPrivateKey(): Promise<string> {
    return (await this.#clientPair()).privateKey;
  }

  async hostKey(vm: VmRecord): Promise<OpenSshKeyPair> {
    return ensureKeyFile(
      join(vm.runtime.directory, "ssh_host_ed25519_key"),
      `banger-${vm.id}`,
      `Stop the VM, remove that file and start again: banger vm stop ${vm.name}`,
    );
  }

  #clientPair(): Promise<OpenSshKeyPair> {
    if (!this.#client) {
      this.#logger.debug("Client key is read", { path: this.#clientPath });
      const reading = ensureKeyFile(
        this.#clientPath,
        "banger",
        `Stop all VMs and remove that file; the next start makes a new key`,
      );
      this.#client = reading;
      // A refused file may be mended while the daemon runs.
      reading.catch(() => (this.#client = undefined));
    }
    return this.#client;
  }
}
