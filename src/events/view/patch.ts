import jsonPatch, { type Operation } from "fast-json-patch";

/**
 * What a JSON patch makes of a document, or undefined if the patch does not apply as a whole.
 *
 * Neither `document` nor `patch` is changed. The result shares with them whatever the patch did not
 * touch: the cost is that of the objects on the paths of the patch, not that of the document.
 */
export function applyPatch(document: unknown, patch: unknown): { document: unknown } | undefined {
  if (!Array.isArray(patch)) return undefined;
  try {
    let result = document;
    for (const operation of patch as Operation[]) result = applyOperation(result, operation);
    return { document: result };
  } catch {
    // The library throws for every operation that does not fit.
    return undefined;
  }
}

function applyOperation(document: unknown, operation: Operation): unknown {
  let target = document;
  if (operation.op !== "test") target = copyAlong(target, operation.path);
  if (operation.op === "move") {
    // RFC 6902 forbids it, the library does not: the document would contain itself.
    if (operation.from === "" && operation.path !== "") throw new TypeError("The root cannot move");
    target = copyAlong(target, operation.from);
  }
  return jsonPatch.applyOperation(target, operation, true).newDocument;
}

/** `root` with a copy of each object and array on the way to where `pointer` points. */
function copyAlong(root: unknown, pointer: string): unknown {
  if (typeof pointer !== "string" || !isContainer(root)) return root;
  const top = copyOf(root);
  let holder = top;
  for (const part of pointer.split("/").slice(1, -1)) {
    const key = keyIn(holder, part);
    const child = Object.hasOwn(holder, key) ? holder[key] : undefined;
    if (!isContainer(child)) break;
    const copy = copyOf(child);
    holder[key] = copy;
    holder = copy;
  }
  return top;
}

type Container = Record<string | number, unknown>;

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null;
}

function copyOf(container: Container): Container {
  return Array.isArray(container) ? ([...container] as unknown as Container) : { ...container };
}

/** The key that the library takes `part` of a pointer for: indices are 32-bit numbers to it. */
function keyIn(holder: Container, part: string): string | number {
  if (Array.isArray(holder) && /^\d*$/.test(part)) return ~~part;
  return jsonPatch.unescapePathComponent(part);
}
