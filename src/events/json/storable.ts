/**
 * The slow way to JSON, for values that `JSON.stringify` refuses. The result is a copy that holds
 * all that JSON can hold. Agents attach whatever they have as `rawEvent`, up to sockets with
 * thousands of objects that point at each other, so every object is copied once and the copy is
 * used again where the object turns up again, as long as the JSON stays within bounds.
 */
export interface Storable {
  readonly value: unknown;
  /** Paths of what was left out, at most `MAX_PATHS`. */
  readonly lost: readonly string[];
}

const MAX_DEPTH = 500;
const MAX_NODES = 1_000_000;
/** Nodes in the JSON beyond which an object that was copied before is not repeated. */
const MAX_NODES_WITH_REPEATS = 100_000;
const MAX_PATHS = 100;

/** Never throws. */
export function toStorable(value: unknown): Storable {
  const copier = new Copier();
  const copy = copier.copy(value, "", "", 0);
  return { value: copy === LOST ? undefined : copy, lost: copier.lost };
}

const LOST = Symbol("lost");

interface Copied {
  readonly value: unknown;
  readonly nodes: number;
}

class Copier {
  readonly lost: string[] = [];
  readonly #ancestors = new Set<object>();
  readonly #copied = new Map<object, Copied>();
  #nodes = 0;

  copy(original: unknown, key: string, path: string, depth: number): unknown {
    try {
      return this.#copy(original, key, path, depth);
    } catch {
      // A getter, a proxy or a toJSON of the agent's threw.
      return this.#lose(path);
    }
  }

  #copy(original: unknown, key: string, path: string, depth: number): unknown {
    const value = jsonView(original, key);
    this.#nodes++;
    if (typeof value === "bigint") return this.#lose(path);
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Number || value instanceof String || value instanceof Boolean) {
      return value.valueOf();
    }
    if (this.#ancestors.has(value) || depth >= MAX_DEPTH || this.#nodes > MAX_NODES) {
      return this.#lose(path);
    }
    const earlier = this.#copied.get(value);
    if (earlier !== undefined) {
      if (this.#nodes + earlier.nodes > MAX_NODES_WITH_REPEATS) return this.#lose(path);
      this.#nodes += earlier.nodes;
      return earlier.value;
    }
    const before = this.#nodes;
    this.#ancestors.add(value);
    try {
      const copy = Array.isArray(value)
        ? this.#copyArray(value, path, depth + 1)
        : this.#copyObject(value, path, depth + 1);
      this.#copied.set(value, { value: copy, nodes: this.#nodes - before });
      return copy;
    } finally {
      this.#ancestors.delete(value);
    }
  }

  #copyArray(array: readonly unknown[], path: string, depth: number): unknown[] {
    const copy: unknown[] = [];
    for (let index = 0; index < array.length; index++) {
      const itemPath = `${path}[${index}]`;
      if (this.#nodes > MAX_NODES) {
        this.#lose(itemPath);
        break;
      }
      const item = this.#read(array, index, String(index), itemPath, depth);
      // null, as JSON has it for what it cannot hold: the others keep their places.
      copy.push(item === LOST ? null : item);
    }
    return copy;
  }

  #copyObject(object: object, path: string, depth: number): object {
    // Without a prototype, so that a key "__proto__" is a key like any other.
    const copy: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(object)) {
      const item = this.#read(object, key, key, path === "" ? key : `${path}.${key}`, depth);
      if (item !== LOST) copy[key] = item;
    }
    return copy;
  }

  #read(from: object, key: string | number, name: string, path: string, depth: number): unknown {
    let value: unknown;
    try {
      value = (from as Record<string | number, unknown>)[key];
    } catch {
      return this.#lose(path);
    }
    return this.copy(value, name, path, depth);
  }

  #lose(path: string): typeof LOST {
    if (this.lost.length < MAX_PATHS) this.lost.push(path);
    return LOST;
  }
}

function jsonView(value: unknown, key: string): unknown {
  if ((typeof value !== "object" || value === null) && typeof value !== "bigint") return value;
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  return typeof toJSON === "function" ? (toJSON.call(value, key) as unknown) : value;
}
