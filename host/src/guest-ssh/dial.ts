import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import {
  CancelledError,
  GuestConnectionError,
  throwIfCancelled,
  type Endpoint,
} from "@banger/core";
import type { Algorithms, Client } from "ssh2";
import { SshConnection } from "./ssh-connection.js";
import type { SshLimits } from "./ssh-limits.js";

export interface DialTarget {
  readonly vmName: string;
  readonly endpoint: Endpoint;
  /** OpenSSH one-line public key that the guest must prove to have */
  readonly hostKey: string;
  /** OpenSSH private key */
  readonly privateKey: string;
}

/** The quickest that OpenSSH and node:crypto share; compression would only cost on a connection within one machine. */
const algorithms: Algorithms = {
  kex: ["curve25519-sha256", "curve25519-sha256@libssh.org"],
  serverHostKey: ["ssh-ed25519"],
  cipher: ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"],
  hmac: ["hmac-sha2-256-etm@openssh.com"],
  compress: ["none"],
};

/** Attempts that may fail after the guest was reached; a refused or reset socket is tried again until the limit. */
const maxOddFailures = 5;

/**
 * Connects as root. Tries again when nobody listens yet: a VMM's port forward accepts before the guest's sshd does, and then drops.
 * @throws GuestConnectionError for another host key, a refused login, or when the limit is over; CancelledError after `signal`
 */
export async function dialGuest(
  target: DialTarget,
  limits: SshLimits,
  signal: AbortSignal,
): Promise<SshConnection> {
  const deadline = performance.now() + limits.connectTimeoutMs;
  const { retryPausesMs } = limits;
  for (let attempt = 0, odd = 0; ; attempt++) {
    throwIfCancelled(signal, `SSH to ${target.vmName}`);
    const limitMs = Math.max(
      1,
      Math.min(limits.attemptTimeoutMs, deadline - performance.now()),
    );
    const failure = await tryOnce(target, limits, limitMs, signal);
    if (failure instanceof SshConnection) return failure;
    if (failure.verdict !== undefined)
      throw new GuestConnectionError(
        target.vmName,
        failure.verdict,
        failure.cause,
      );
    if (failure.odd) odd++;
    const waitMs = retryPausesMs[Math.min(attempt, retryPausesMs.length - 1)];
    if (performance.now() + (waitMs ?? 0) >= deadline || odd > maxOddFailures) {
      const { host, port } = target.endpoint;
      throw new GuestConnectionError(
        target.vmName,
        `no connection to ${host}:${port} within ${limits.connectTimeoutMs / 1000} s`,
        failure.cause,
      );
    }
    await pause(waitMs, undefined, { signal }).catch((reason: unknown) => {
      throw new CancelledError(`SSH to ${target.vmName}`, reason);
    });
  }
}

interface Failure {
  readonly cause: Error;
  /** set when trying again is of no use: what is wrong */
  readonly verdict?: string;
  /** neither the socket nor an early end */
  readonly odd?: boolean;
}

async function tryOnce(
  target: DialTarget,
  limits: SshLimits,
  limitMs: number,
  signal: AbortSignal,
): Promise<SshConnection | Failure> {
  // Loaded here: a daemon without a running VM does without its memory.
  const { default: ssh2 } = await import("ssh2");
  const client = new ssh2.Client();
  const socket = new Socket();
  const pinned = Buffer.from(target.hostKey.split(" ")[1] ?? "", "base64");
  let otherKey = false;

  return new Promise((resolve, reject) => {
    const finish = (failure: Failure): void => {
      settle();
      socket.destroy();
      resolve(failure);
    };
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      client.off("close", onClose);
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(new CancelledError(`SSH to ${target.vmName}`, signal.reason));
    };
    const onClose = (): void =>
      finish({ cause: new Error("the guest closed the connection") });
    // Stays: more errors can follow the first, and the connection adds its own listener only after `ready`.
    client.on("error", (error) => finish(judge(error, otherKey)));
    client.on("close", onClose);
    client.on("ready", () => {
      settle();
      resolve(new SshConnection(client, socket, target.vmName, limits));
    });
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort);
    socket.setNoDelay(true);
    socket.connect(target.endpoint);
    connectClient(client, {
      sock: socket,
      username: "root",
      privateKey: target.privateKey,
      authHandler: ["publickey"],
      algorithms,
      readyTimeout: limitMs,
      keepaliveInterval: limits.keepaliveIntervalMs,
      keepaliveCountMax: limits.keepaliveCountMax,
      hostVerifier: (key: Buffer) => {
        otherKey = !key.equals(pinned);
        return !otherKey;
      },
    });
  });
}

function connectClient(
  client: Client,
  config: Parameters<Client["connect"]>[0],
): void {
  try {
    client.connect(config);
  } catch (error) {
    // For instance a private key that ssh2 cannot read.
    client.emit("error", error);
  }
}

function judge(error: Error & { level?: string }, otherKey: boolean): Failure {
  if (otherKey)
    return {
      cause: error,
      verdict: "it has another host key than its own, so it is not this guest",
    };
  switch (error.level) {
    case "client-authentication":
      return { cause: error, verdict: "it refuses the key of this install" };
    case "handshake":
      return { cause: error, verdict: "it knows none of our algorithms" };
    case "client-socket":
    case "client-timeout":
      return { cause: error };
    default:
      return { cause: error, odd: !/before handshake/.test(error.message) };
  }
}
