import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Endpoint } from "@banger/core";
import type { Question } from "./query.js";
import { frame, TcpFrames } from "./tcp-frames.js";
import {
  readUpstream,
  renderQuestion,
  type UpstreamReading,
} from "./upstream-message.js";

/** What came of asking one upstream once. */
export type Exchange =
  | Exclude<UpstreamReading, { kind: "foreign" | "truncated" }>
  /** nothing came in time, or nobody is there */
  | { readonly kind: "silence" };

/** Most bytes of an answer over TCP: all that its length can say. */
const mostAnswerBytes = 65_535;

/**
 * Puts a question to an upstream, over UDP and, when the answer does not fit, over TCP: each time with an id and a port of its own that
 * nobody can guess, and believing only what comes from there and repeats both id and question (RFC 5452).
 * @param timeoutMs of all of it
 */
export async function ask(
  upstream: Endpoint,
  question: Question,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Exchange> {
  const deadline = performance.now() + options.timeoutMs;
  const left = () => ({
    timeoutMs: Math.max(1, deadline - performance.now()),
    signal: options.signal,
  });
  const whole = await askUdp(upstream, question, true, left());
  // RFC 6891 §7: servers from before EDNS call it a format error.
  const first =
    whole.kind === "failure" && whole.rcode === 1
      ? await askUdp(upstream, question, false, left())
      : whole;
  return first.kind === "truncated"
    ? askTcp(upstream, question, left())
    : first;
}

interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

function askUdp(
  upstream: Endpoint,
  question: Question,
  edns: boolean,
  limits: Limits,
): Promise<Exchange | { readonly kind: "truncated" }> {
  const socket = createSocket(isIPv6(upstream.host) ? "udp6" : "udp4");
  const id = randomInt(0x10000);
  return settle(
    limits,
    (resolve) => {
      const silence = (): void => {
        resolve({ kind: "silence" });
      };
      socket.on("error", silence);
      socket.on("message", (bytes) => {
        const reading = readUpstream(bytes, id, question);
        if (reading.kind !== "foreign") resolve(reading);
      });
      // Connected, so that the kernel drops what comes from elsewhere.
      socket.once("connect", () => {
        socket.send(renderQuestion(id, question, edns), (error) => {
          if (error) silence();
        });
      });
      socket.connect(upstream.port, upstream.host);
    },
    () => {
      socket.removeAllListeners("connect");
      socket.close();
    },
  );
}

function askTcp(
  upstream: Endpoint,
  question: Question,
  limits: Limits,
): Promise<Exchange> {
  const { host, port } = upstream;
  const socket = connect({ host, port, noDelay: true });
  const id = randomInt(0x10000);
  const frames = new TcpFrames(mostAnswerBytes);
  return settle(
    limits,
    (resolve) => {
      const silence = (): void => {
        resolve({ kind: "silence" });
      };
      socket.on("error", silence);
      socket.on("close", silence);
      socket.on("data", (chunk) => {
        frames.push(chunk);
        const bytes = frames.take();
        if (bytes === undefined) return;
        const reading =
          bytes === "too-long"
            ? ({ kind: "broken" } as const)
            : readUpstream(bytes, id, question);
        // Over a stream nobody but the upstream can say anything, and nothing is longer.
        const isUsable =
          reading.kind === "answer" || reading.kind === "failure";
        resolve(isUsable ? reading : { kind: "broken" });
      });
      socket.write(frame(renderQuestion(id, question, true)));
    },
    () => {
      socket.destroy();
    },
  );
}

/** The first that is said, or silence after the time; `end` is called once, whatever happens. */
function settle<T>(
  { timeoutMs, signal }: Limits,
  begin: (
    resolve: (exchange: T | { readonly kind: "silence" }) => void,
  ) => void,
  end: () => void,
): Promise<T | { readonly kind: "silence" }> {
  return new Promise((resolve) => {
    let settled = false;
    const finish = (exchange: T | { readonly kind: "silence" }): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", give);
      end();
      resolve(exchange);
    };
    const give = (): void => {
      finish({ kind: "silence" });
    };
    const timer = setTimeout(give, timeoutMs);
    signal.addEventListener("abort", give);
    begin(finish);
    if (signal.aborted) give();
  });
}
