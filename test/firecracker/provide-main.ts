import { provideFirecracker } from "./provide-firecracker.js";
import type { FirecrackerSettings } from "./settings.js";

// For programs that are no tests: writes the executables into the folder that is the first argument, with the settings of the second.
const [directory, settings = "{}"] = process.argv.slice(2);
if (directory === undefined) throw new Error("which folder?");
await provideFirecracker(
  directory,
  JSON.parse(settings) as FirecrackerSettings,
);
