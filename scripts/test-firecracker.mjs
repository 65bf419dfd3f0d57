// `npm run test:firecracker [-- <vitest's arguments>]`: the e2e suite on the Firecracker and the jailer of the PATH, or of FIRECRACKER_BIN
// and JAILER_BIN. When it cannot run here it says so in a line "test:firecracker did not run: …" and ends with 0.
import { runTestProgram } from "./run-test-program.mjs";

await runTestProgram("second-run/real-main.ts");
