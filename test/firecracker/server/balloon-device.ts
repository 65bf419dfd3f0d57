import { ApiFault } from "./api-fault.js";
import type { Balloon, VmConfiguration } from "./bodies.js";
import { checkBalloonSize } from "./configuration.js";
import type { Guest } from "./guest.js";

/** What came of a request: a changed device, an answer's body, or neither. */
interface BalloonOutcome {
  readonly balloon?: Balloon;
  readonly answer?: unknown;
}

/** Pages of 4 KiB in a MiB. */
const pagesPerMib = 256;

/** Requests about a balloon that was configured. */
export class BalloonDevice {
  #hinting = { host_cmd: 0 };

  /** @throws ApiFault when there is no balloon, or not this feature of it */
  async handle(
    operation: string,
    body: unknown,
    vm: VmConfiguration,
    guest: Guest | undefined,
  ): Promise<BalloonOutcome> {
    const { balloon, machine } = vm;
    if (!balloon) throw new ApiFault("Balloon config error: Device not found.");
    const counts = (balloon.stats_polling_interval_s ?? 0) > 0;
    switch (operation) {
      case "patchBalloon": {
        const { amount_mib } = body as { amount_mib: number };
        checkBalloonSize(amount_mib, vm, "Balloon update error");
        await guest?.setBalloon(machine.mem_size_mib - amount_mib);
        return { balloon: { ...balloon, amount_mib } };
      }
      case "describeBalloonConfig":
        return { answer: { ...balloonDefaults, ...balloon } };
      case "describeBalloonStats":
        if (!counts)
          throw new ApiFault(
            "Balloon config error: Statistics for the balloon device are not enabled",
          );
        return { answer: await statistics(balloon, vm, guest) };
      case "patchBalloonStatsInterval": {
        const update = body as { stats_polling_interval_s: number };
        if (counts !== update.stats_polling_interval_s > 0)
          throw new ApiFault(
            "Balloon update error: Cannot enable/disable the statistics after boot.",
          );
        return { balloon: { ...balloon, ...update } };
      }
      default:
        return this.#hint(operation, balloon);
    }
  }

  #hint(operation: string, balloon: Balloon): BalloonOutcome {
    if (balloon.free_page_hinting !== true)
      throw new ApiFault(
        "Balloon update error: Free page hinting is not enabled.",
      );
    if (operation === "describeBalloonHinting")
      return { answer: this.#hinting };
    // Commands count up from 2; 1 says that the host has done with a run.
    const next = Math.max(2, this.#hinting.host_cmd + 1);
    this.#hinting = {
      host_cmd: operation === "startBalloonHinting" ? next : 1,
    };
    return {};
  }
}

const balloonDefaults = {
  stats_polling_interval_s: 0,
  free_page_hinting: false,
  free_page_reporting: false,
};

async function statistics(
  balloon: Balloon,
  { machine }: VmConfiguration,
  guest: Guest | undefined,
): Promise<unknown> {
  const memory = machine.mem_size_mib;
  const actual = memory - ((await guest?.memoryMib()) ?? memory);
  return {
    target_pages: balloon.amount_mib * pagesPerMib,
    actual_pages: actual * pagesPerMib,
    target_mib: balloon.amount_mib,
    actual_mib: actual,
  };
}
