/** A request that is refused: becomes an answer with `fault_message`. */
export class ApiFault extends Error {
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

const texts: Readonly<Record<string, string>> = {
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EISDIR: "Is a directory",
  EADDRINUSE: "Address in use",
  EEXIST: "File exists",
  ENOTDIR: "Not a directory",
};

/** A system error as Rust prints one. */
export function osError(error: unknown): string {
  const { code, errno, message } = error as NodeJS.ErrnoException;
  return `${texts[code ?? ""] ?? message} (os error ${String(Math.abs(errno ?? 0))})`;
}
