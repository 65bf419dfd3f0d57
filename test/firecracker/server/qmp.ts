import { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** An event of QEMU's. */
export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A QEMU monitor over a pair of streams; emits `event` with a {@link QmpEvent}.
 * @see QEMU, docs/interop/qmp-spec
 */
export class Qmp extends EventEmitter<{ event: [QmpEvent] }> {
  readonly #output: Writable;
  readonly #waiting: Waiting[] = [];
  #ended = false;

  constructor(input: Readable, output: Writable) {
    super();
    this.#output = output;
    output.on("error", () => undefined);
    const lines = createInterface({ input });
    lines.on("line", (line) => this.#receive(line));
    lines.on("close", () => {
      this.#ended = true;
      for (const { reject } of this.#waiting.splice(0))
        reject(new Error("QEMU has ended"));
    });
  }

  /** @throws Error when QEMU refuses or ends */
  async run(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
  ): Promise<unknown> {
    if (this.#ended) throw new Error("QEMU has ended");
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#output.write(
        `${JSON.stringify({ execute: command, arguments: args })}\n`,
      );
    });
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (typeof message["event"] === "string")
      this.emit("event", message as unknown as QmpEvent);
    else if ("return" in message)
      this.#waiting.shift()?.resolve(message["return"]);
    else if ("error" in message)
      this.#waiting
        .shift()
        ?.reject(new Error((message["error"] as { desc: string }).desc));
  }
}
