import type { GuestConfig } from "../model/guest-config.js";
import type { MachineConfig } from "../model/machine-config.js";
import { SlotConflictError } from "./hook-errors.js";

type Config = GuestConfig | MachineConfig;

/**
 * Remembers who owns which slot of a configuration while plugins add to it one after another. Keys of the records are slots, and
 * so is every plain property.
 */
export class SlotOwners {
  readonly #owners = new Map<string, string>();

  constructor(initial: Config) {
    for (const [slot] of slotsOf(initial)) this.#owners.set(slot, "banger");
  }

  /**
   * Compares what a plugin got with what it returned and notes it as the owner of what is new.
   * @throws {@link SlotConflictError} when it changed or dropped a slot that was there
   */
  claim(plugin: string, before: Config, after: Config): void {
    const next = new Map(slotsOf(after));
    const conflict = (slot: string): SlotConflictError => {
      const [kind = "", key = ""] = slot.split("\0");
      return new SlotConflictError(
        kind,
        key,
        this.#owners.get(slot) ?? "banger",
        plugin,
      );
    };
    for (const [slot, value] of slotsOf(before)) {
      if (!next.has(slot) || next.get(slot) !== value) throw conflict(slot);
      next.delete(slot);
    }
    for (const slot of next.keys()) this.#owners.set(slot, plugin);
    const moved = firstMoved(before, after);
    if (moved !== undefined) throw conflict(moved);
  }
}

/**
 * The guest names drives by their place, so what a plugin adds goes behind what was there.
 * @returns the first drive that lost its place
 */
function firstMoved(before: Config, after: Config): string | undefined {
  if (!("drives" in before) || !("drives" in after)) return undefined;
  const places = Object.keys(after.drives);
  const moved = Object.keys(before.drives).find(
    (drive, place) => places[place] !== drive,
  );
  return moved === undefined ? undefined : `drives\0${moved}`;
}

function* slotsOf(config: Config): Generator<[string, unknown]> {
  for (const [kind, value] of Object.entries(config) as [string, unknown][]) {
    if (kind === "network" || typeof value !== "object" || value === null)
      yield [`${kind}\0`, value];
    else
      for (const [key, item] of Object.entries(value))
        yield [`${kind}\0${key}`, item];
  }
}

/** Freezes a configuration through and through, so that a tap which writes to its argument fails instead of hiding the change. */
export function freezeConfig<T extends Config>(config: T): T {
  freeze(config);
  return config;
}

function freeze(value: unknown): void {
  // The bytes of a file: a view on a buffer cannot be frozen.
  const isPlain =
    typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
  if (!isPlain || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) freeze(part);
}
