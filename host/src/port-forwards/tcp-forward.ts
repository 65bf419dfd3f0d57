import { createServer, Socket, type Server } from "node:net";
import type { Duplex } from "node:stream";
import {
  CancelledError,
  PortUnavailableError,
  type GuestSsh,
  type Logger,
  type PortForward,
  type PortTrouble,
  type VmRecord,
} from "@banger/core";

/** Connections at a time on one port; more are refused, as each costs the daemon two buffers and a descriptor. */
const mostConnections = 256;

/** What the kernel says when a port cannot be had; errno(3), ip(7). */
const troubles: Readonly<Record<string, PortTrouble>> = {
  EADDRINUSE: "busy",
  EACCES: "privileged",
  EADDRNOTAVAIL: "foreign",
};

/** One listening socket of the host and the connections that came in by it. Listens from its making on. */
export class TcpForward {
  readonly forward: PortForward;
  /** Settles when it does not listen any more; never rejects. */
  readonly ended: Promise<void>;
  readonly #guestSsh: Pick<GuestSsh, "openPort">;
  readonly #logger: Logger;
  readonly #vm: VmRecord;
  readonly #server: Server;
  readonly #began: Promise<void>;
  readonly #closing = new AbortController();
  /** both ends of every connection */
  readonly #streams = new Set<Duplex>();

  constructor(
    deps: {
      readonly guestSsh: Pick<GuestSsh, "openPort">;
      readonly logger: Logger;
    },
    vm: VmRecord,
    forward: PortForward,
  ) {
    this.forward = forward;
    this.#guestSsh = deps.guestSsh;
    this.#logger = deps.logger.child({ vmId: vm.id });
    this.#vm = vm;
    this.#server = createServer(
      { allowHalfOpen: true, pauseOnConnect: true, noDelay: true },
      (socket) => void this.#serve(socket),
    );
    this.#server.maxConnections = mostConnections;
    this.#began = this.#listen();
    this.ended = new Promise((resolve) => {
      this.#server.on("close", resolve);
      this.#began.catch(() => resolve());
    });
  }

  get isListening(): boolean {
    return this.#server.listening;
  }

  get isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Resolves when it listens. @throws PortUnavailableError */
  listening(): Promise<void> {
    return this.#began;
  }

  /** Stops listening and ends the connections. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new CancelledError("the forward of a port"));
    await this.#began.catch(() => undefined);
    this.#server.close();
    for (const stream of this.#streams)
      if (stream instanceof Socket) stream.resetAndDestroy();
      else stream.destroy();
    await this.ended;
  }

  #listen(): Promise<void> {
    const { address, port } = this.forward;
    return new Promise((resolve, reject) => {
      const refuse = (error: NodeJS.ErrnoException): void => {
        const trouble = troubles[error.code ?? ""];
        reject(
          trouble === undefined
            ? error
            : new PortUnavailableError(address, port, trouble, error),
        );
      };
      this.#server.once("error", refuse);
      this.#server.listen({ host: address, port, exclusive: true }, () => {
        this.#server.off("error", refuse);
        // Such as no free descriptor for one more connection.
        this.#server.on("error", (error) => {
          this.#logger.warn("Forwarded port refused a connection", { error });
        });
        resolve();
      });
    });
  }

  async #serve(socket: Socket): Promise<void> {
    const left = new AbortController();
    this.#keep(socket);
    socket.on("error", () => undefined);
    // Not `AbortSignal.any`: in Node 20 a signal never forgets those that were made from it.
    const { signal } = this.#closing;
    const leave = (): void => left.abort(signal.reason);
    signal.addEventListener("abort", leave);
    socket.on("close", () => {
      signal.removeEventListener("abort", leave);
      leave();
    });
    if (signal.aborted) leave();
    try {
      const guest = await this.#guestSsh.openPort(
        this.#vm,
        this.forward.guestPort,
        left.signal,
      );
      // Lost since it was opened: it tells nobody any more.
      if (guest.destroyed)
        throw guest.errored ?? new Error("the guest's side is closed");
      this.#keep(guest);
      join(socket, guest);
    } catch (error) {
      this.#logger.debug("Forwarded connection failed", { error });
      // As when nothing listened on this port.
      socket.resetAndDestroy();
    }
  }

  #keep(stream: Duplex): void {
    this.#streams.add(stream);
    stream.on("close", () => this.#streams.delete(stream));
  }
}

/** Bytes both ways, as fast as the slower side takes them; each side may end its half first, and a fault on one is one on the other. */
function join(socket: Socket, guest: Duplex): void {
  socket.pipe(guest);
  guest.pipe(socket);
  // Never an orderly end: it would look like all of the bytes.
  guest.on("error", () => socket.resetAndDestroy());
  guest.on("close", () => {
    if (!socket.destroyed) socket.destroySoon();
  });
  const abandon = (): void => {
    // After orderly ends the guest still gets what is on its way.
    if (!socket.readableEnded || !socket.writableFinished) guest.destroy();
  };
  if (socket.destroyed) abandon();
  else socket.on("close", abandon);
}
