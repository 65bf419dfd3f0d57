/** What the programs of this host get when they look up a name. */
export interface HostResolver {
  /**
   * Does the name lead to this IPv4 address, and to nothing else? "No" when that is not known within a short limit, or after `signal`.
   * An answer may be some seconds old. Never rejects.
   */
  resolves(
    name: string,
    address: string,
    signal: AbortSignal,
  ): Promise<boolean>;
}
