import { ApiFault } from "./api-fault.js";

/** The metadata service's data, which no guest of ours reads. */
export class MetadataStore {
  #content: unknown;

  get content(): unknown {
    return this.#content ?? {};
  }

  put(content: unknown): void {
    this.#content = content;
  }

  /** @throws ApiFault when nothing was put yet */
  patch(change: unknown): void {
    if (this.#content === undefined)
      throw new ApiFault("MMDS error: The MMDS data store is not initialized.");
    this.#content = mergePatch(this.#content, change);
  }
}

/** @see RFC 7396 */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
