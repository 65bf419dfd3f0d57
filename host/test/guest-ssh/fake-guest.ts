import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Endpoint } from "@banger/core";
import ssh2, { type Connection, type ServerChannel } from "ssh2";

/** What the fake guest does instead of running a command. */
export type CommandHandler = (
  command: string,
  channel: ServerChannel,
  client: Connection,
) => void;

/**
 * An SSH server that behaves like sshd: it runs each command line in bash with a session of its own. Faults are switched on by its
 * fields.
 */
export class FakeGuest {
  acceptKey = true;
  /** sessions per connection that it opens */
  maxSessions = Infinity;
  /** connections that it drops at once, as a port forward does before the guest's sshd runs */
  dropConnections = 0;
  /** leaves requests for connections to its ports without an answer */
  portsHang = false;
  /** breaks the protocol in the answer to such a request */
  portsBreak = false;
  /** never says a word */
  silent = false;
  onCommand: CommandHandler | undefined;
  connections = 0;
  authenticated = 0;
  sessions = 0;
  mostSessions = 0;
  refusedSessions = 0;
  /** addresses and ports that connections were asked for */
  readonly ports: string[] = [];
  readonly windows: unknown[] = [];
  readonly ptys: unknown[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #ssh: ssh2.Server;
  readonly #tcp = createServer((socket) => {
    this.connections++;
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.silent) {
      socket.resume();
      return;
    }
    if (this.dropConnections > 0) {
      this.dropConnections--;
      socket.destroy();
      return;
    }
    this.#ssh.injectSocket(socket);
  });

  constructor(hostPrivateKey: string) {
    this.#ssh = new ssh2.Server({ hostKeys: [hostPrivateKey] });
    this.#ssh.on("connection", (client) => {
      this.#serve(client);
    });
  }

  async listen(port = 0): Promise<Endpoint> {
    this.#tcp.listen(port, "127.0.0.1");
    await once(this.#tcp, "listening");
    const address = this.#tcp.address() as AddressInfo;
    return { host: "127.0.0.1", port: address.port };
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cutConnections();
    if (!this.#tcp.listening) return;
    this.#tcp.close();
    await once(this.#tcp, "close");
  }

  #serve(client: Connection): void {
    let open = 0;
    client.on("error", () => undefined);
    client.on("authentication", (context) => {
      if (context.method === "publickey" && this.acceptKey) context.accept();
      else context.reject(["publickey"]);
    });
    client.on("ready", () => this.authenticated++);
    client.on("tcpip", (accept, reject, { destIP, destPort }) => {
      this.ports.push(`${destIP} ${String(destPort)}`);
      if (this.portsBreak) breakPort(client, accept);
      else if (!this.portsHang) connectPort(destIP, destPort, accept, reject);
    });
    client.on("session", (accept, reject) => {
      if (open >= this.maxSessions) {
        this.refusedSessions++;
        reject();
        return;
      }
      open++;
      this.sessions++;
      this.mostSessions = Math.max(this.mostSessions, open);
      const session = accept();
      let hasPty = false;
      session.on("close", () => open--);
      session.on("pty", (acceptPty, _reject, info) => {
        hasPty = true;
        const { cols, rows, term } = info as unknown as Record<string, unknown>;
        this.ptys.push({ cols, rows, term });
        acceptPty();
      });
      session.on("window-change", (acceptChange, _reject, info) => {
        this.windows.push({ cols: info.cols, rows: info.rows });
        // ssh2 gives no function when no answer is wanted.
        (acceptChange as (() => void) | undefined)?.();
      });
      session.on("exec", (acceptExec, _reject, { command }) => {
        const channel = acceptExec();
        channel.on("error", () => undefined);
        channel.stderr.on("error", () => undefined);
        if (this.onCommand) this.onCommand(command, channel, client);
        else runCommand(command, channel, hasPty);
      });
    });
  }
}

/** Connects as sshd does: each side may end its half first. */
function connectPort(
  host: string,
  port: number,
  accept: () => ServerChannel,
  reject: () => void,
): void {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.on("error", reject);
  socket.on("connect", () => {
    socket.off("error", reject);
    const channel = accept();
    // ssh2's server closes both halves when one has ended; sshd waits for the other.
    const close = channel.close.bind(channel);
    let halves = 2;
    const endHalf = (): void => {
      halves--;
      if (halves === 0) close();
    };
    channel.close = () => undefined;
    channel.on("end", endHalf).on("finish", endHalf);
    const cut = (): void => {
      socket.destroy();
      close();
    };
    channel.on("error", cut).on("close", cut);
    socket.on("error", cut);
    socket.pipe(channel).pipe(socket);
  });
}

/** What ssh2 1.17.0 keeps in a connection and a channel beside its documented interface. */
interface ConnectionInternals {
  readonly _sock: Socket;
  readonly _protocol: {
    channelOpenConfirm(
      recipient: number,
      sender: number,
      window: number,
      packetSize: number,
    ): void;
    channelEOF(id: number): void;
    channelClose(id: number): void;
  };
}
interface ChannelInternals {
  readonly outgoing: { readonly id: number };
}

/** Takes the connection, asks for packets without room, and ends it: all in what the host reads at once. */
function breakPort(client: Connection, accept: () => ServerChannel): void {
  const { _sock, _protocol } = client as unknown as ConnectionInternals;
  const confirm = _protocol.channelOpenConfirm.bind(_protocol);
  _protocol.channelOpenConfirm = (recipient, sender, window) =>
    confirm(recipient, sender, window, 0);
  _sock.cork();
  const channel: unknown = accept();
  const { id } = (channel as ChannelInternals).outgoing;
  _protocol.channelEOF(id);
  _protocol.channelClose(id);
  process.nextTick(() => _sock.uncork());
}

/** Runs a line as sshd does: root's shell, a new session, the outputs until everybody has closed them. */
export function runCommand(
  command: string,
  channel: ServerChannel,
  hasPty = false,
): void {
  const child = spawn("bash", ["-c", command], {
    detached: true,
    cwd: "/",
    env: { ...process.env, SHELL: "/bin/bash", HOME: "/" },
  });
  child.stdin.on("error", () => undefined);
  channel.pipe(child.stdin);
  const outputs = hasPty
    ? ([child.stdout, child.stderr] as const)
    : ([child.stdout] as const);
  for (const output of outputs) output.pipe(channel, { end: false });
  if (!hasPty) child.stderr.pipe(channel.stderr, { end: false });
  // A terminal hangs up when its channel goes; a pipe does not.
  if (hasPty)
    channel.on("close", () => {
      if (child.exitCode === null && child.signalCode === null)
        child.kill("SIGHUP");
    });
  child.on("close", (code, signal) => {
    if (signal !== null) channel.exit(signal.slice(3), false, "");
    else channel.exit(code ?? 255);
    channel.end();
  });
}
