import { JoinedError } from "@banger/core";
import { waitForAnswer } from "./answers.js";
import { runAsOwner } from "./as-owner.js";
import type { InstallRecord } from "./install-record.js";
import { systemLayout } from "./layout.js";
import type { SystemContext } from "./system-context.js";
import { ServiceSilentError } from "./system-errors.js";
import { Systemctl } from "./systemctl.js";

/** Longest wait for helper and daemon each, seconds. */
const answerSeconds = 60;

/**
 * Starts helper and daemon anew, and waits for both; VMs run on. Without systemd only a daemon that runs is ended: the owner's next
 * command starts another one, and who runs the helper starts that again.
 * @throws {@link ServiceSilentError}, JoinedError of both
 */
export async function restartServices(
  { service, owner }: InstallRecord,
  { commands, signal, onStep }: SystemContext,
): Promise<void> {
  const { helperUnit, daemonUnit, helperSocket, runDirectory } = systemLayout;
  if (service === "none") {
    onStep("end the daemon; the next command starts it");
    await runAsOwner(commands, owner, {
      file: systemLayout.command,
      args: ["daemon", "stop"],
      timeoutMs: 120_000,
      signal,
    });
    return;
  }
  const systemctl = new Systemctl(commands, signal);
  const failures: unknown[] = [];
  for (const [what, unit, socket] of [
    ["the root helper", helperUnit, helperSocket],
    ["the daemon", daemonUnit, `${runDirectory}/bangerd.sock`],
  ] as const) {
    onStep(`systemctl restart ${unit}`);
    try {
      await systemctl.run("restart", unit);
      if (!(await waitForAnswer(socket, answerSeconds * 1000, signal)))
        throw new ServiceSilentError(what, answerSeconds, unit);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1)
    throw new JoinedError("the services could not be restarted", failures);
}
