import { BangerError, isBangerError, type ErrorKind } from "../errors.js";
import type { Finding } from "../model/check.js";

/** A plugin's tap threw; the message names plugin and hook, `cause` is what it threw, whose code, kind and hint it keeps. */
export class PluginFaultError extends BangerError {
  override readonly code: string;
  override readonly kind: ErrorKind;
  readonly plugin: string;
  readonly hook: string;

  constructor(plugin: string, hook: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const known = isBangerError(cause) ? cause : undefined;
    super(`plugin ${plugin}, ${hook}: ${reason}`, {
      hint: known?.hint ?? "Look at the plugin's checks: banger doctor",
      cause,
    });
    this.code = known?.code ?? "ERR_PLUGIN_FAULT";
    this.kind = known?.kind ?? "failed";
    this.plugin = plugin;
    this.hook = hook;
  }
}

export class HookTimeoutError extends BangerError {
  override readonly code = "ERR_HOOK_TIMEOUT";
  constructor(plugin: string, hook: string, limitMs: number) {
    super(
      `${hook} of plugin ${plugin} did not end within ${String(limitMs / 1000)} s`,
      {
        hint: `Start without it: --no-plugin ${plugin}`,
      },
    );
  }
}

/** Two owners want one slot. */
export class SlotConflictError extends BangerError {
  override readonly code = "ERR_SLOT_CONFLICT";
  constructor(slot: string, key: string, owner: string, claimant: string) {
    super(`${slot} ${key} belongs to ${owner}; ${claimant} wants it too`, {
      hint: `Start without one of them: --no-plugin ${claimant}`,
    });
  }
}

/** Preflight found reasons against the start: all of them at once. */
export class PreflightError extends BangerError {
  override readonly code = "ERR_PREFLIGHT";
  readonly findings: readonly Finding[];
  constructor(vmName: string, findings: readonly Finding[]) {
    const fixes = findings.flatMap((finding) => finding.fix ?? []);
    super(
      `${vmName} cannot start here: ${findings.length === 1 ? "one reason" : `${String(findings.length)} reasons`}`,
      fixes[0] === undefined ? {} : { hint: fixes[0] },
    );
    this.findings = findings;
  }
  override get details(): readonly string[] {
    return this.findings.map((finding) => `${finding.id}: ${finding.message}`);
  }
}
