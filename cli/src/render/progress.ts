import type { OperationEvent } from "@banger/host/client";
import type { Output } from "../io.js";
import { renderDuration } from "./duration.js";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";

/** Shows an operation's stages while it runs. */
export interface ProgressView {
  show(event: OperationEvent): void;
  /** the operation was cancelled and cleans up; what it tells from then on is not shown, save warnings */
  cancelling(): void;
  /** ends the live line; a stage that was under way counts as done unless it failed */
  end(failed: boolean): void;
}

/** A live line on a terminal, plain lines elsewhere, nothing when `quiet`. `label` tells operations that run side by side apart. */
export function progressView(
  output: Output,
  style: Style,
  options: { readonly quiet?: boolean; readonly label?: string } = {},
): ProgressView {
  if (options.quiet === true)
    return {
      show: () => undefined,
      cancelling: () => undefined,
      end: () => undefined,
    };
  return style.isTerminal && options.label === undefined
    ? new LiveProgress(output, style)
    : new PlainProgress(output, options.label);
}

/** One line for each stage that begins. */
class PlainProgress implements ProgressView {
  readonly #output: Output;
  readonly #prefix: string;
  #stage: string | undefined;
  #isCancelling = false;

  constructor(output: Output, label: string | undefined) {
    this.#output = output;
    this.#prefix = label === undefined ? "" : `${label}: `;
  }

  show(event: OperationEvent): void {
    if (event.type !== "progress") return;
    const isSettled = this.#isCancelling || event.stage === this.#stage;
    if (isSettled && !isWarning(event.text)) return;
    this.#stage = event.stage;
    const line = `${this.#prefix}${event.stage}: ${event.text}`;
    this.#output.write(`${printableLine(line)}\n`);
  }

  cancelling(): void {
    this.#isCancelling = true;
  }

  end(): void {
    this.#stage = undefined;
  }
}

/** A warning stays on the screen whatever stage comes next. */
function isWarning(text: string): boolean {
  return text.startsWith("warning: ");
}

const frames = ["|", "/", "-", "\\"];
const frameMs = 120;
const clearLine = "\r\u001b[2K";

/** The stage that is under way on a live line; those that ended above it, with their times. */
class LiveProgress implements ProgressView {
  readonly #output: Output;
  readonly #style: Style;
  #stage: { name: string; text: string; since: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;
  #isCancelling = false;

  constructor(output: Output, style: Style) {
    this.#output = output;
    this.#style = style;
  }

  show(event: OperationEvent): void {
    if (event.type !== "progress") return;
    const name = printableLine(event.stage);
    const text = printableLine(event.text);
    if (isWarning(text)) {
      this.#output.write(`${clearLine}${this.#style.yellow(text)}\n`);
      this.#draw();
      return;
    }
    if (this.#isCancelling) return;
    if (this.#stage?.name === name) {
      this.#stage.text = text;
    } else {
      this.#finishStage();
      this.#stage = { name, text, since: performance.now() };
    }
    this.#live();
  }

  cancelling(): void {
    this.#isCancelling = true;
    const text = "Ctrl-C once more does not wait";
    this.#stage = { name: "cancelling", text, since: performance.now() };
    this.#live();
  }

  end(failed: boolean): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (failed) {
      if (this.#stage) this.#output.write(clearLine);
      this.#stage = undefined;
    }
    this.#finishStage();
  }

  #live(): void {
    this.#timer ??= setInterval(() => {
      this.#frame += 1;
      this.#draw();
    }, frameMs);
    this.#draw();
  }

  #draw(): void {
    if (!this.#stage) return;
    const { name, text, since } = this.#stage;
    const elapsed = renderDuration(performance.now() - since);
    const room = Math.max(20, (this.#output.columns ?? 80) - 1);
    const spinner = frames[this.#frame % frames.length] ?? "";
    const end = `  ${elapsed}`;
    const head = `${spinner} ${name.padEnd(12)} ${text}`;
    const line = head.slice(0, room - end.length);
    this.#output.write(`${clearLine}${line}${this.#style.dim(end)}`);
  }

  #finishStage(): void {
    if (!this.#stage) return;
    const { name, since } = this.#stage;
    const time = renderDuration(performance.now() - since);
    this.#output.write(
      `${clearLine}  ${name.padEnd(12)} ${this.#style.dim(time)}\n`,
    );
    this.#stage = undefined;
  }
}
