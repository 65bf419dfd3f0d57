import { parseJson } from "../../files/parse-json.js";
import {
  FirecrackerApiError,
  FirecrackerProtocolError,
  quoteFirecracker,
} from "./api-errors.js";
import { replySchemas } from "./api-reply-schemas.js";
import { conform, NonconformingValueError } from "./api-schema.js";
import type { ApiOperations } from "./api-types.js";

/** An HTTP answer. */
export interface ApiReply {
  readonly status: number;
  readonly body: Buffer;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * What an answer says. Pure; any bytes are fine.
 * @param request method and path as they were sent, for messages
 * @throws {@link FirecrackerApiError} for a refusal, {@link FirecrackerProtocolError} for what no Firecracker answers
 */
export function parseReply<O extends keyof ApiOperations>(
  operation: O,
  request: string,
  reply: ApiReply,
): ApiOperations[O]["reply"] {
  const { status, body } = reply;
  if (status >= 400)
    throw new FirecrackerApiError(request, status, faultOf(body));
  const schema = replySchemas[operation];
  if (status !== (schema ? 200 : 204))
    throw new FirecrackerProtocolError(
      request,
      `its status is ${String(status)}`,
    );
  // What stays undefined has no body, as the same description says.
  const nothing = undefined as ApiOperations[O]["reply"];
  if (!schema) return nothing;
  try {
    return conform(
      schema,
      JSON.parse(decoder.decode(body)),
    ) as ApiOperations[O]["reply"];
  } catch (cause) {
    if (cause instanceof NonconformingValueError)
      throw new FirecrackerProtocolError(request, cause.message);
    throw new FirecrackerProtocolError(request, "it is no JSON", { cause });
  }
}

/** The reason in a refusal: of Firecracker, else of its HTTP server, whose JSON is sometimes none. */
function faultOf(body: Buffer): string {
  const text = body.toString("utf8");
  const value = parseJson(text);
  if (typeof value !== "object" || value === null)
    return quoteFirecracker(text);
  const { fault_message: fault, error } = value as Record<string, unknown>;
  const reason = [fault, error].find((words) => typeof words === "string");
  return quoteFirecracker(typeof reason === "string" ? reason : text);
}
