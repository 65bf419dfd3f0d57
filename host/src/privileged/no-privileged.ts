import {
  PrivilegeMissingError,
  type Privileged,
  type PrivilegedRequest,
} from "@banger/core";

/** For a daemon that is not root and has no helper. */
export class NoPrivileged implements Privileged {
  readonly kind = "none";

  async problem(): Promise<PrivilegeMissingError> {
    return Promise.resolve(missing("this network or disk"));
  }

  async request<Input, Output>({
    name,
  }: PrivilegedRequest<Input, Output>): Promise<Output> {
    return Promise.reject(missing(name));
  }
}

function missing(what: string): PrivilegeMissingError {
  return new PrivilegeMissingError(
    `${what} needs root, and this daemon is not root and has no root helper`,
    {
      hint: 'Install the helper: sudo banger system install; or set mode = "user" in section [network] of the configuration',
    },
  );
}
