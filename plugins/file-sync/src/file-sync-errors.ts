import { BangerError, formatSize } from "@banger/core";

/** The configured files do not fit into what a start may carry. */
export class FileSyncTooLargeError extends BangerError {
  override readonly code = "ERR_FILE_SYNC_TOO_LARGE";
  constructor(hostPath: string, mostBytes: number) {
    super(
      `with ${hostPath} the synced files exceed ${formatSize(mostBytes)}; they travel through the guest's memory`,
      {
        hint: "Leave big directories out of [[plugins.file-sync.entries]]; copy them with `banger vm run PATH`",
      },
    );
  }
}

/** A configured file is there, and this user may not read it. */
export class FileSyncUnreadableError extends BangerError {
  override readonly code = "ERR_FILE_SYNC_UNREADABLE";
  constructor(hostPath: string, cause: unknown) {
    super(`${hostPath} cannot be read`, {
      hint: `Make it readable, or take it out of [[plugins.file-sync.entries]]: ls -ld ${hostPath}`,
      cause,
    });
  }
}
