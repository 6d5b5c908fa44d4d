/** A copy of a value that `JSON.stringify` accepts. */
export interface Storable {
  readonly value: unknown;
  /** Paths of the parts that were left out, at most `MAX_PATHS`. */
  readonly lost: readonly string[];
}

/** Objects that are nested deeper are left out. */
const MAX_DEPTH = 500;
/** Values that are copied at most. The values after that are left out. */
const MAX_NODES = 1_000_000;
/** With more values in the JSON than this, an object that was copied before is not repeated. */
const MAX_NODES_WITH_REPEATS = 100_000;
/** Paths of lost parts that are reported at most. */
const MAX_PATHS = 100;

/**
 * Copies everything of `value` that JSON can hold. Never throws. Slow: only for values that
 * `JSON.stringify` refuses.
 *
 * Agents attach any object as `rawEvent`, even a socket with thousands of objects that refer to each
 * other. So each object is copied once. Its copy is used again where the object appears again, as long
 * as the JSON stays within `MAX_NODES_WITH_REPEATS`.
 */
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
      // A getter, a proxy or a toJSON of the agent threw.
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
      // null, as in `JSON.stringify`, so that the other items keep their places.
      copy.push(item === LOST ? null : item);
    }
    return copy;
  }

  #copyObject(object: object, path: string, depth: number): object {
    // Without a prototype, so that "__proto__" is an ordinary key.
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
