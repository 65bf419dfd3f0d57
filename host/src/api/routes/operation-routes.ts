import type { OperationRegistry } from "@banger/core";
import { followOperation } from "../follow-operation.js";
import { eventRoute, readRoute, type Route } from "../route.js";
import { operationParams } from "../schemas.js";

export function operationRoutes({
  operations,
}: {
  readonly operations: OperationRegistry;
}): readonly Route[] {
  const path = "/v1/operations/:operation";
  return [
    readRoute({
      method: "GET",
      path: "/v1/operations",
      summary: "All operations that run or ended within the last hour",
      handle: () => Promise.resolve(operations.list()),
    }),
    readRoute({
      method: "GET",
      path,
      summary: "One operation, by id or unique prefix",
      params: operationParams,
      handle: async ({ params }) => operations.get(params.operation),
    }),
    eventRoute({
      method: "GET",
      path: `${path}/events`,
      summary:
        "The stages of an operation so far and as they come, then its end; leaving does not cancel it",
      params: operationParams,
      handle: async ({ params }, signal) => {
        const { id } = operations.get(params.operation);
        return followOperation(operations, id, signal);
      },
    }),
    readRoute({
      method: "DELETE",
      path,
      summary: "Cancel an operation; it ends when it has cleaned up",
      params: operationParams,
      handle: async ({ params }) =>
        operations.cancel(params.operation, "another client cancelled it"),
    }),
  ];
}
