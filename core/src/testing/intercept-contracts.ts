import type { Resolver } from "awilix";
import type { AwilixContainer, HostCradle, RootCradle } from "../container.js";
import type { VmmDriver } from "../contracts/vmm.js";

/** Stands before every call that changes or asks the host. */
export interface ContractInterceptor {
  /**
   * @param name contract and method, such as `vmStore.update`
   * @param work does the call; an interceptor may leave it out, do something before or after it, or never return
   * @param args what the caller gave
   */
  call<T>(
    name: string,
    work: () => Promise<T>,
    args: readonly unknown[],
  ): Promise<T>;
}

/**
 * The methods of a contract that return a promise: `true` for one that is intercepted. `false` is for a wait: it ends when somebody else
 * does something and changes nothing, so there is no moment before or after it, and how many are under way depends on time.
 */
type Intercepted<T> = {
  readonly [
    K in keyof T as T[K] extends (...args: never[]) => Promise<unknown>
      ? K
      : never
  ]-?: boolean;
};

/** Everything else of a contract is pure and passes through. A method that is new to a contract does not compile until it is here. */
const contracts: {
  readonly [Contract in keyof HostCradle]: Intercepted<HostCradle[Contract]>;
} = {
  commands: { run: true, find: true },
  guestAgent: {
    waitReady: true,
    powerOff: true,
    ping: true,
    facts: true,
    clockOffset: true,
    exec: true,
  },
  guestBoot: { write: true },
  // What it awaits is the policy's, which is a plugin's.
  guestEgress: { resolved: false, refusals: false },
  guestKeys: { authorizedKey: true, hostKey: true },
  guestPorts: { list: true },
  guestSsh: { exec: true, connect: true, openPort: true, disconnect: true },
  handleStore: { load: true, read: true, write: true, clear: true },
  hostFacts: {},
  hostResolver: { resolves: true },
  imageStore: {
    list: true,
    find: true,
    ensure: true,
    build: true,
    remove: true,
  },
  network: { prepare: true, restore: true, remove: true },
  portForwards: { open: true, close: true, closeAll: true, ended: false },
  privileged: { problem: true, request: true },
  rootDisks: { find: true, choose: true, ensure: true, release: true },
  vmFiles: {
    ensure: true,
    removeRun: true,
    removeAll: true,
    consoleTail: true,
    usedBytes: true,
    freeBytes: true,
  },
  vmStore: {
    list: true,
    find: true,
    insert: true,
    update: true,
    saveStats: true,
    remove: true,
  },
  vmmDrivers: { choose: true },
};

const vmmDriver: Intercepted<VmmDriver> = {
  launch: true,
  find: true,
  signal: true,
  usage: true,
  waitForExit: false,
  kill: true,
};

/**
 * Lets every call of a contract that anything in the container makes go through the interceptor, whoever implements the contract.
 * Before anything is resolved: what already has the bare implementation would keep it.
 */
export function interceptContracts(
  root: AwilixContainer<RootCradle>,
  interceptor: ContractInterceptor,
): void {
  for (const name of Object.keys(contracts) as (keyof HostCradle)[]) {
    if (root.cache.has(name))
      throw new Error(`${name} is resolved already, so calls would be missed`);
    const original: Disposable | null = root.getRegistration<object>(name);
    if (!original) continue;
    const bare = new WeakMap<object, object>();
    const replacement: Disposable = {
      ...original,
      resolve: (container) => {
        const contract = original.resolve(container) as HostCradle[typeof name];
        const wrapped = interceptContract(name, contract, interceptor);
        bare.set(wrapped, contract);
        return wrapped;
      },
    };
    // Disposing of an implementation is no call of the contract.
    if (original.dispose)
      replacement.dispose = (wrapped) =>
        original.dispose?.(bare.get(wrapped) ?? wrapped);
    root.register(name, replacement);
  }
}

/** One contract whose calls go through the interceptor. `instanceof`, fields and private fields work as before. */
export function interceptContract<Name extends keyof HostCradle>(
  name: Name,
  contract: HostCradle[Name],
  interceptor: ContractInterceptor,
): HostCradle[Name] {
  const wrapped = intercept(name, contract, contracts[name], interceptor);
  if (name !== "vmmDrivers") return wrapped;
  const drivers = contract as HostCradle["vmmDrivers"];
  return override(wrapped, "get", (id: string) =>
    intercept("vmmDriver", drivers.get(id), vmmDriver, interceptor),
  );
}

/** What awilix makes of `asClass`, `asFunction` and `asValue`. */
interface Disposable extends Resolver<object> {
  dispose?: (value: object) => unknown;
}

function intercept<T extends object>(
  name: string,
  target: T,
  methods: Readonly<Record<string, boolean>>,
  interceptor: ContractInterceptor,
): T {
  return new Proxy(target, {
    get: (_target, key) => {
      // Private fields are the target's own: it must be `this` of getters and methods.
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      const call = (...args: unknown[]): unknown =>
        Reflect.apply(value, target, args);
      if (typeof key !== "string" || methods[key] !== true) return call;
      return (...args: unknown[]) =>
        interceptor.call(
          `${name}.${key}`,
          async () => call(...args),
          Object.freeze(args),
        );
    },
    set: (_target, key, value) => Reflect.set(target, key, value, target),
  });
}

function override<T extends object>(
  target: T,
  name: string,
  value: unknown,
): T {
  return new Proxy(target, {
    get: (_target, key) =>
      key === name ? value : (Reflect.get(target, key) as unknown),
  });
}
