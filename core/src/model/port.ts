/** A port of the guest, published on the host. */
export interface PortForward {
  /** IPv4 address of the host that listens */
  readonly address: string;
  /** port of the host */
  readonly port: number;
  readonly guestPort: number;
}

/** A socket that waits for peers in the guest; hostile input that was bounded and validated. */
export interface ListeningPort {
  readonly protocol: "tcp" | "udp";
  /** address in the guest it is bound to; `0.0.0.0` and `::` are all of them */
  readonly address: string;
  readonly port: number;
  /** name of the process that owns it, without control characters */
  readonly process?: string;
  /** what a short probe found it to speak */
  readonly scheme?: "http" | "https";
}

/** A listening port and where the host reaches it. */
export interface ReachablePort extends ListeningPort {
  /** `127.77.0.1:8080`, or where that name leads there `web.vm:8080`, each with its scheme; absent when nothing on the host leads there */
  readonly endpoint?: string;
}

/** A forward and where it is reached. */
export interface PublishedPort extends PortForward {
  /** `127.77.0.1:8080`, or where that name leads there `web.vm:8080` */
  readonly endpoint: string;
}
