import type { z } from "zod";
import { BangerError } from "../errors.js";
import type { CommandRunner } from "./commands.js";
import type { Logger } from "./logger.js";

/** The install that requests are carried out for, as root knows it: nothing of it comes from the daemon. */
export interface Install {
  /** whom the daemon runs as; whoever's VMs these are */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** where VMs, images and kernels are; absolute */
  readonly stateDirectory: string;
  /** where sockets are; absolute */
  readonly runDirectory: string;
  /** tells the installs of one host apart: eight hexadecimal digits, from the state directory */
  readonly tag: string;
}

/** What a request has where it is carried out. */
export interface PrivilegedContext {
  readonly install: Install;
  readonly commands: CommandRunner;
  readonly logger: Logger;
  /** aborts when the daemon went away or the request's time is up */
  readonly signal: AbortSignal;
}

/**
 * One thing that only root may do. Stateless and idempotent: whoever carries it out may be killed at any step, and it is asked for again.
 * Its input comes from a process that may be hostile: schema and `run` let nothing through but names and paths of this install.
 */
export interface PrivilegedRequest<Input, Output> {
  /** `<owner>.<verb-and-thing>`, such as `nat.ensure-rules`: a plugin's begins with the plugin's id */
  readonly name: string;
  readonly input: z.ZodType<Input>;
  readonly output: z.ZodType<Output>;
  /** longest run, ms */
  readonly timeoutMs: number;
  run(input: Input, context: PrivilegedContext): Promise<Output>;
}

/** A request whatever it takes and gives. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- neither `unknown` nor `never` fits both sides of `run`
export type AnyPrivilegedRequest = PrivilegedRequest<any, any>;

/** Types a request by its schemas. Pure. */
export function definePrivilegedRequest<Input, Output>(
  request: PrivilegedRequest<Input, Output>,
): PrivilegedRequest<Input, Output> {
  return request;
}

/** Carries out requests as root: this process itself when it is root, else the root helper. */
export interface Privileged {
  /** `none`: every request is refused */
  readonly kind: "in-process" | "helper" | "none";
  /** Why requests would be refused now; `undefined` when they would not. Looks only. */
  problem(): Promise<BangerError | undefined>;
  /**
   * @throws PrivilegeMissingError when there is nobody who may; what the request throws, by its `code`: its class is lost on the way from
   * the helper; CancelledError
   */
  request<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
    signal: AbortSignal,
  ): Promise<Output>;
}

/** Something needs root, and neither is this process root nor is there a helper that answers. */
export class PrivilegeMissingError extends BangerError {
  override readonly code = "ERR_PRIVILEGE_MISSING";
  override readonly kind = "unavailable";
}
