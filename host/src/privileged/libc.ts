import type { Socket } from "node:net";
import { BangerError } from "@banger/core";

/** The kernel cannot be asked who is at the other end of a connection: nobody may be let in then. */
class PeerUnknownError extends BangerError {
  override readonly code = "ERR_PEER_UNKNOWN";
  constructor(problem: string, cause?: unknown) {
    super(
      `the kernel cannot be asked who connects to the root helper: ${problem}`,
      {
        hint: "Install banger's program again for this machine: sudo banger system install",
        cause,
      },
    );
  }
}

/** A process as it was when it connected. */
export interface Peer {
  /** 0 for a process of another pid namespace */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** The calls of the C library that Node has no name for. */
export interface Libc {
  /** Who connected, as the kernel noted it then. @throws {@link PeerUnknownError} */
  peerOf(socket: Socket): Peer;
  /** Locks an open file for this process alone, until it is closed; `false` when another one has. @throws Error of the system */
  tryLock(fd: number): boolean;
}

/** @see getsockopt(2), unix(7), Linux `asm-generic/socket.h` */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct ucred`: pid_t, uid_t, gid_t, 32 bits each. */
const ucredWords = 3;
type Ucred = readonly [pid: number, uid: number, gid: number];

/** @see flock(2), Linux `asm-generic/fcntl.h`, `asm-generic/errno-base.h` */
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Loads the foreign function interface. Only the root helper does: the daemon has no use for it.
 * @throws {@link PeerUnknownError}
 */
export async function loadLibc(): Promise<Libc> {
  const { getsockopt, flock, errno } = await bind();
  return {
    peerOf: (socket) => {
      const fd = descriptorOf(socket);
      const credentials = new Uint32Array(ucredWords);
      const length = [credentials.byteLength];
      const status = getsockopt(
        ...[fd, SOL_SOCKET, SO_PEERCRED, credentials, length],
      );
      if (status !== 0 || length[0] !== credentials.byteLength)
        throw new PeerUnknownError(
          `getsockopt fails, errno ${String(errno())}`,
        );
      const [pid, uid, gid] = credentials as unknown as Ucred;
      return { pid, uid, gid };
    },
    tryLock: (fd) => {
      if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
      if (errno() === EWOULDBLOCK) return false;
      throw new Error(`flock fails, errno ${String(errno())}`);
    },
  };
}

type Call = (...args: unknown[]) => unknown;

async function bind(): Promise<{
  readonly getsockopt: Call;
  readonly flock: Call;
  readonly errno: () => number;
}> {
  try {
    const { load, errno } = await import("koffi");
    // Of the process itself: whatever its C library is, Node is linked with it.
    const library = load(null);
    return {
      getsockopt: library.func(
        "int getsockopt(int fd, int level, int name, _Out_ uint32_t *value, _Inout_ uint32_t *length)",
      ) as Call,
      flock: library.func("int flock(int fd, int operation)") as Call,
      errno,
    };
  } catch (error) {
    throw new PeerUnknownError("koffi does not load here", error);
  }
}

/**
 * Node has no public name for a socket's descriptor; its handle has had this one since the first versions. It is -1 once the handle is
 * closed, and the kernel is asked in the same turn in which the connection came, so the descriptor cannot be anybody else's by then.
 */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { fd?: unknown } | null };
  const fd = handle?.fd;
  if (typeof fd !== "number" || fd < 0)
    throw new PeerUnknownError("the connection has no descriptor");
  return fd;
}
