/** Header in which client and daemon tell which build they are. */
export const buildHeader = "banger-build";
