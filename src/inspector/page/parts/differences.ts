/** A place in two values at which they differ. Undefined stands for nothing there. */
export interface Difference {
  /** Such as `items[3].name`. Empty for the whole value. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Where two JSON values differ, in the order of their fields, and at most `limit` places. */
export function differences(before: unknown, after: unknown, limit = 500): readonly Difference[] {
  const found: Difference[] = [];
  collect("", before, after, limit, found);
  return found;
}

function collect(
  path: string,
  before: unknown,
  after: unknown,
  limit: number,
  found: Difference[],
): void {
  if (found.length >= limit || Object.is(before, after)) return;
  if (!isTree(before) || !isTree(after) || Array.isArray(before) !== Array.isArray(after)) {
    found.push({ path, before, after });
    return;
  }
  const isList = Array.isArray(before);
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const place = isList ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    collect(place, fieldOf(before, name), fieldOf(after, name), limit, found);
  }
}

type Tree = Readonly<Record<string, unknown>>;

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null;
}

/** Own fields alone: a value may lack a field of the name "constructor". */
function fieldOf(tree: Tree, name: string): unknown {
  return Object.hasOwn(tree, name) ? tree[name] : undefined;
}
