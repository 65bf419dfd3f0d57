import { createServer, type Server, type Socket } from "node:net";
import type { CommandRunner, Install, Logger } from "@banger/core";
import { listenForOwner, type HelperSocket } from "./helper-socket.js";
import { loadLibc, type Libc, type Peer } from "./libc.js";
import { PeerConnection } from "./peer-connection.js";
import {
  PrivilegedBusyError,
  PrivilegedPeerError,
} from "./privileged-errors.js";
import { mostRequestsAtOnce } from "./protocol.js";
import type { PrivilegedRequests } from "./request-registry.js";
import { Turns } from "./turns.js";

/** Requests that wait for their turn, and connections at once; what is more is refused. */
const mostWaiting = 32;
const mostConnections = 64;

/** Connections at once, those that are refused included; what is more gets no answer. */
const mostOpen = 512;

export interface HelperServerOptions {
  /** where to listen; short enough for a socket */
  readonly socketPath: string;
  readonly install: Install;
  readonly requests: PrivilegedRequests;
  readonly commands: CommandRunner;
  readonly logger: Logger;
}

/** The root helper: carries out privileged requests for the owner of the install and for root, and for nobody else. */
export class HelperServer {
  readonly #options: HelperServerOptions;
  readonly #turns = new Turns(mostRequestsAtOnce);
  readonly #connections = new Set<PeerConnection>();
  /** the peer is asked for before a byte is read */
  readonly #server: Server = createServer({
    pauseOnConnect: true,
    allowHalfOpen: true,
  });
  #socket: HelperSocket | undefined;

  constructor(options: HelperServerOptions) {
    this.#options = options;
  }

  /** @throws HelperRunningError, PrivilegedSocketError, NotRootOwnedError, PeerUnknownError */
  async listen(): Promise<void> {
    const { socketPath, install, logger } = this.#options;
    const libc = await loadLibc();
    this.#server.on("connection", (socket) => {
      this.#accept(socket, libc);
    });
    this.#server.maxConnections = mostOpen;
    this.#server.on("drop", () => {
      logger.warn("A connection is refused: there are too many");
    });
    this.#server.on("error", (error) => {
      logger.error("Connections cannot be taken", { error });
    });
    this.#socket = await listenForOwner(this.#server, {
      socketPath,
      owner: install.owner,
      libc,
    });
  }

  /**
   * Takes no more connections, lets requests that are carried out end by themselves, aborts what is left after `graceMs`, and removes the
   * socket. Who has not got an answer by then is cut off. Idempotent.
   */
  async close(graceMs: number): Promise<void> {
    this.#server.close();
    await this.#socket?.remove();
    const connections = [...this.#connections];
    await Promise.all(connections.map((one) => one.end(graceMs)));
    this.#socket?.unlock();
  }

  #accept(socket: Socket, libc: Libc): void {
    const { logger, install, requests, commands } = this.#options;
    // A peer that goes away while it is told something is nobody's error.
    socket.on("error", () => undefined);
    let peer: Peer;
    try {
      peer = libc.peerOf(socket);
    } catch (error) {
      logger.error("A connection is refused: nobody can say whose it is", {
        error,
      });
      socket.destroy();
      return;
    }
    const connection = new PeerConnection({
      ...{ socket, peer, install, requests, commands, logger },
      turns: this.#turns,
      mostWaiting,
    });
    if (peer.uid !== install.owner.uid && peer.uid !== 0) {
      connection.refuse(new PrivilegedPeerError(peer.uid));
      return;
    }
    if (this.#connections.size >= mostConnections) {
      connection.refuse(new PrivilegedBusyError());
      return;
    }
    this.#connections.add(connection);
    socket.on("close", () => this.#connections.delete(connection));
    void connection.serve();
  }
}
