/** Where one install has its things. */
export interface InstallPlace {
  /** absolute paths, without a slash at the end: what an install has is below one of them */
  readonly roots: readonly string[];
  readonly stateDirectory: string;
  readonly runDirectory: string;
  /** Is a process with this command line and environment, which runs the daemon's program, the daemon of this install? */
  isDaemon(
    args: readonly string[],
    environment: () => readonly string[],
  ): boolean;
}

/** Of an install that is wholly below its BANGER_HOME. Pure. */
export function homePlace(home: string): InstallPlace {
  return {
    roots: [home],
    stateDirectory: `${home}/state`,
    runDirectory: `${home}/run`,
    isDaemon: (_args, environment) =>
      environment().includes(`BANGER_HOME=${home}`),
  };
}
