// The least that an API on node can do: `bare-server.mjs <socket>` gives every request the same answer, until its stdin ends.
import { createServer } from "node:http";

const server = createServer((_request, response) => {
  response.setHeader("content-type", "application/json");
  response.end("[]");
});
server.listen(process.argv[2], () => console.log("listening"));
process.stdin.on("end", () => process.exit()).resume();
