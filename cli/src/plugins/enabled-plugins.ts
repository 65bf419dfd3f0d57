/** The plugins that new VMs get: what the configuration says, kept up to date while the daemon changes it. */
export class EnabledPlugins {
  #ids: readonly string[];

  constructor(ids: readonly string[]) {
    this.#ids = ids;
  }

  get ids(): readonly string[] {
    return this.#ids;
  }

  with(id: string, enabled: boolean): readonly string[] {
    const others = this.#ids.filter((known) => known !== id);
    if (!enabled) return others;
    return this.#ids.includes(id) ? this.#ids : [...others, id];
  }

  replace(ids: readonly string[]): void {
    this.#ids = ids;
  }
}
