/** Environment variables that say how the tests of a run work; without them guests run as on anyone's machine. */
export const runVariables = {
  /** an images directory that has the default image */
  images: "BANGER_E2E_IMAGES",
  /** a home in which the first run of several builds the default image */
  imageHome: "BANGER_E2E_IMAGE_HOME",
  /** TOML: settings of every install of the run, but for those that a test makes itself */
  config: "BANGER_E2E_CONFIG",
  /** BANGER_HOME of an install whose guest stands for a host already; it is left as it is */
  guestHost: "BANGER_E2E_GUEST_HOST",
  /** the network namespace that stands for the outside, and its address, separated by a space; guests are then on a bridge */
  outside: "BANGER_E2E_OUTSIDE",
  /** `1`: the root helper dies at every request of an operation, in every way, instead of at a few */
  everyKill: "BANGER_E2E_EVERY_KILL",
} as const;
