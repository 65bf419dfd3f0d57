import { setTimeout as sleep } from "node:timers/promises";
import { printTo } from "../terminal/print-to.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { UsageError } from "./usage-error.js";
import { vmPositional } from "./vm-positional.js";

const pauseMs = 1_000;

export const vmPing: CommandDefinition = {
  words: ["vm", "ping"],
  summary: "Time the way to a guest's agent and back",
  positionals: [vmPositional],
  options: {
    count: {
      type: "string",
      alias: "c",
      describe: "ask that many times, a second apart; default 1",
    },
    ...jsonOption,
  },
  examples: [
    ["vm ping web", "does the guest answer?"],
    ["vm ping -c 5 web", "ask five times"],
  ],
  endsSilently: true,
  run: async (args, { client, io }) => {
    const count = args.number("count") ?? 1;
    if (count < 1) throw new UsageError("--count must be at least 1");
    const vm = args.required("vm");
    const path = `/v1/vms/${encodeURIComponent(vm)}/ping`;
    const { stdout, interrupted } = io;
    const all: number[] = [];
    while (all.length < count) {
      if (all.length > 0)
        await sleep(pauseMs, undefined, { signal: interrupted }).catch(() =>
          interrupted.throwIfAborted(),
        );
      const { roundTripMs } = await client.read<{ roundTripMs: number }>(path, {
        signal: interrupted,
      });
      all.push(roundTripMs);
      if (!args.flag("json"))
        await printTo(stdout, `${roundTripMs.toFixed(1)} ms\n`, interrupted);
    }
    return { json: all.map((roundTripMs) => ({ roundTripMs })) };
  },
};
