import type { Random } from "../../support/random.ts";
import type { Call } from "../record/recording.ts";
import { type Period, SimulatedFile } from "./file.ts";
import type { Style } from "./style.ts";

interface Change {
  readonly file: string;
  readonly at: null;
  readonly begin: number;
  readonly end: number;
  readonly apply: (names: Map<string, SimulatedFile>) => void;
}

/**
 * One directory on a disk, as calls change it and as a power cut may leave it.
 *
 * What SQLite may rely on, by https://www.sqlite.org/atomiccommit.html, section 2 and
 * https://www.sqlite.org/psow.html:
 * - a write changes no byte outside of its range (power-safe overwrite), and a torn sector
 *   holds bytes of its earlier and its later content, never anything else;
 * - a sync that succeeded is true;
 * - a name is certainly made, moved or deleted only after a sync of the directory. fsync of
 *   the file itself does not guarantee that, by its manual page.
 * Not modelled: disks that lie, bits that flip, and names that are lost although the disk had them.
 *
 * A page of the database is torn only while it is written, by a checkpoint from a WAL that was synced.
 * SQLite can repair it, so a torn page is a fair test.
 */
export class SimulatedDisk {
  /** The files as programs see them. */
  readonly names: Map<string, SimulatedFile>;
  readonly #byInode = new Map<number, SimulatedFile>();
  /** The files that the disk certainly holds. */
  readonly #base: Map<string, SimulatedFile>;
  #changes: Change[] = [];

  /** `found`: files that were there before, by their names. */
  constructor(found: ReadonlyMap<string, { readonly inode: number; readonly content: Buffer }>) {
    this.names = new Map();
    for (const [name, { inode, content }] of found) {
      const file = new SimulatedFile(name, content);
      this.names.set(name, file);
      this.#byInode.set(inode, file);
    }
    this.#base = new Map(this.names);
  }

  /** Applies a call at its begin. Syncs are applied at their end. */
  begin(call: Call): void {
    switch (call.kind) {
      case "write":
        this.#byInode.get(call.inode)?.write(call.offset, call.data, call);
        return;
      case "truncate":
        this.#byInode.get(call.inode)?.truncate(call.length, call);
        return;
      case "create": {
        const name = call.data.toString();
        const file = new SimulatedFile(name);
        this.#byInode.set(call.inode, file);
        this.#change(name, call, (names) => void names.set(name, file));
        return;
      }
      case "unlink": {
        const name = call.data.toString();
        this.#change(name, call, (names) => void names.delete(name));
        return;
      }
      case "rename":
      case "link": {
        const [from = "", to = ""] = call.data.toString().split("/");
        const file = this.names.get(from);
        if (file === undefined) return;
        this.#change(to, call, (names) => {
          names.set(to, file);
          if (call.kind === "rename") names.delete(from);
        });
      }
    }
  }

  /** Applies a sync at its end. */
  end(call: Call): void {
    const file = this.#byInode.get(call.inode);
    if (call.kind === "sync") {
      if (call.failed) file?.failed(call);
      else file?.synced(call);
      return;
    }
    if (call.failed) return;
    const isCovered = ({ end }: Change) => end < call.begin;
    for (const change of this.#changes.filter(isCovered)) change.apply(this.#base);
    this.#changes = this.#changes.filter((change) => !isCovered(change));
  }

  /** The files that a power cut may leave now. Two names of one file have the same buffer. */
  afterCut(style: Style, random: Random): Map<string, Buffer> {
    const names = new Map(this.#base);
    for (const change of this.#changes) {
      if (style.choose([change]) === 0) change.apply(names);
    }
    const contents = new Map<SimulatedFile, Buffer>();
    const image = new Map<string, Buffer>();
    for (const [name, file] of names) {
      const content = contents.get(file) ?? file.afterCut(style, random);
      contents.set(file, content);
      image.set(name, content);
    }
    return image;
  }

  #change(file: string, { begin, end }: Period, apply: Change["apply"]): void {
    this.#changes.push({ file, at: null, begin, end, apply });
    apply(this.names);
  }
}
