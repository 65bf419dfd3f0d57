import { BangerError } from "@banger/core";

/** The database was written by a newer banger. */
export class DatabaseTooNewError extends BangerError {
  override readonly code = "ERR_DATABASE_TOO_NEW";
  constructor(file: string, found: number, known: number) {
    super(
      `${file} was written by a newer banger (schema ${found.toString()}, this one knows ${known.toString()})`,
      {
        hint: "Use the newer banger again; an older one must not touch this file",
      },
    );
  }
}

/** The database file cannot be opened or read. */
export class DatabaseUnreadableError extends BangerError {
  override readonly code = "ERR_DATABASE_UNREADABLE";
  constructor(file: string, cause: unknown) {
    super(`${file} cannot be used as banger's database`, {
      hint: "Check that disk and permissions are fine; restore the file from a backup, or move it away to begin with no VMs",
      cause,
    });
  }
}

export class AddressPoolExhaustedError extends BangerError {
  override readonly code = "ERR_ADDRESS_POOL_EXHAUSTED";
  override readonly kind = "conflict";
  constructor(limit: number) {
    super(`all ${limit.toString()} guest addresses are in use`, {
      hint: "Delete VMs that are no longer needed: banger vm list -a",
    });
  }
}
