/** Environment variables that say how the tests of a run work; without them guests run as on anyone's machine. */
export const runVariables = {
  /** an images directory that has the default image */
  images: "BANGER_E2E_IMAGES",
  /** a home in which the first run of several builds the default image */
  imageHome: "BANGER_E2E_IMAGE_HOME",
  /** TOML: settings of every install of the run, but for those that a test makes itself */
  config: "BANGER_E2E_CONFIG",
  /** the network namespace that stands for the outside, and its address, separated by a space; guests are then on a bridge */
  outside: "BANGER_E2E_OUTSIDE",
} as const;
