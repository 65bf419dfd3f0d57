/** One stage of an operation, or one hook of one plugin in it. */
export interface TimelineEntry {
  /** `stage` or `hook` */
  readonly kind: "stage" | "hook";
  /** `boot`, or `nat postStart` */
  readonly name: string;
  /** since the operation began, ms */
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed?: true;
}

export type Timeline = readonly TimelineEntry[];

/** Collects the entries of one operation. */
export class TimelineRecorder {
  readonly #origin = performance.now();
  /** by start: a hook comes after the stage in which it ran also when both began in the same millisecond */
  readonly #begun: { entry?: TimelineEntry }[] = [];

  /** Runs `work` and records how long it took, also when it throws. */
  async measure<T>(
    kind: TimelineEntry["kind"],
    name: string,
    work: () => Promise<T>,
  ): Promise<T> {
    const start = performance.now();
    const begun: { entry?: TimelineEntry } = {};
    this.#begun.push(begun);
    const record = (failed: boolean): void => {
      begun.entry = {
        kind,
        name,
        startMs: Math.round(start - this.#origin),
        durationMs: Math.round(performance.now() - start),
        ...(failed ? { failed: true } : {}),
      };
    };
    try {
      const value = await work();
      record(false);
      return value;
    } catch (error) {
      record(true);
      throw error;
    }
  }

  /** Of what has ended so far, by start time; each stage before its hooks. */
  entries(): Timeline {
    return this.#begun.flatMap(({ entry }) => entry ?? []);
  }

  /** since the operation began, ms */
  get elapsedMs(): number {
    return Math.round(performance.now() - this.#origin);
  }
}
