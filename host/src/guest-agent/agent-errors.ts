import { BangerError, type BangerErrorOptions } from "@banger/core";

/** The agent was asked and no usable answer came. */
abstract class AgentError extends BangerError {
  constructor(what: string, options: BangerErrorOptions = {}) {
    super(`guest agent: ${what}`, {
      hint: "Look at the guest's console: banger vm logs",
      ...options,
    });
  }
}

/** There is no connection to the agent, or it broke. */
export class AgentConnectionError extends AgentError {
  override readonly code = "ERR_AGENT_CONNECTION";
  override readonly kind = "unavailable";
}

/** The guest sent what no agent sends: no JSON, the wrong shape, too much. */
export class AgentProtocolError extends AgentError {
  override readonly code = "ERR_AGENT_PROTOCOL";
}

/** No answer in time. */
export class AgentTimeoutError extends AgentError {
  override readonly code = "ERR_AGENT_TIMEOUT";
}

/** The agent answered that it will not or cannot. */
export class AgentRefusedError extends AgentError {
  override readonly code = "ERR_AGENT_REFUSED";
  /** class of the error as the agent names it: `CommandNotFound`, `GenericError`, … */
  readonly errorClass: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`${command} was refused: ${errorClass}: ${description}`);
    this.errorClass = errorClass;
  }
}
