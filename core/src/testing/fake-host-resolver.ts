import type { HostResolver } from "../contracts/host-resolver.js";

/** {@link HostResolver} of a host that routes no zone to anybody, apart from the names that a test gives it. */
export class FakeHostResolver implements HostResolver {
  /** address by name */
  readonly names = new Map<string, string>();

  async resolves(name: string, address: string): Promise<boolean> {
    return this.names.get(name) === address;
  }
}
