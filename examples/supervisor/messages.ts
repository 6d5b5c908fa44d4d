/** A file of the built page, by the path under which it is served. */
export type PageFiles = Readonly<Record<string, { readonly type: string; readonly body: string }>>;

/** What `npm start` tells a server. */
export type ToServer =
  | { readonly kind: "page"; readonly files: PageFiles }
  | { readonly kind: "page-failed"; readonly reason: string }
  /** The port of the other server, or null if it did not start. */
  | { readonly kind: "other-server"; readonly port: number | null };

/** What a server tells `npm start`. */
export type ToSupervisor =
  /** `place`: where the threads are, in words. */
  | { readonly kind: "listening"; readonly port: number; readonly place: string }
  /** Asks to be killed with SIGKILL. */
  | { readonly kind: "kill" }
  /** Asks for a second server on the same database. The answer is `other-server`. */
  | { readonly kind: "start-other" };
