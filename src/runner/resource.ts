import { AsyncLocalStorage } from "node:async_hooks";
import { describeValue } from "../protocol/describe-value.ts";
import { RunStoreError } from "../protocol/errors.ts";
import { isId } from "../protocol/ids.ts";
import { isVisible, type Scope, UNOWNED } from "../protocol/scope.ts";

/** In place of a resource: all threads, whosever they are. For operators' tools. */
export const EVERY_RESOURCE: unique symbol = Symbol("every resource");

const scopes = new AsyncLocalStorage<Scope>();

/**
 * Calls `fn` for one resource: a user, a team or a tenant. Within it, and within what it awaits, a runner
 * sees only the threads of this resource, and new threads belong to it.
 *
 * Take `resourceId` from the login of a request, never from what the client sends.
 *
 * @throws {TypeError} `resourceId` is neither a non-empty string of well-formed Unicode nor
 * `EVERY_RESOURCE`.
 */
export function withResource<T>(resourceId: string | typeof EVERY_RESOURCE, fn: () => T): T {
  return scopes.run(scopeOf(resourceId), fn);
}

/** Calls `fn` in a scope, whatever the scope of the call that is under way. */
export function withScope<T>(scope: Scope, fn: () => T): T {
  return scopes.run(scope, fn);
}

function scopeOf(resourceId: unknown): Scope {
  if (resourceId === EVERY_RESOURCE) return "every";
  if (!isId(resourceId)) {
    throw new TypeError(
      `withResource: expected a non-empty string of well-formed Unicode, got ${describeValue(resourceId)}`,
    );
  }
  return { resourceId };
}

/** `"required"`: a call outside any `withResource` is refused. */
export type Resources = "optional" | "required";

/**
 * The scope of the call that is under way. Outside any `withResource`, that is the threads of nobody.
 *
 * @throws {RunStoreError} `RESOURCE_REQUIRED`
 */
export function currentScope(resources: Resources): Scope {
  const missing = "this call is outside any withResource(resourceId, fn)";
  return scopeOr(UNOWNED, resources, missing);
}

/**
 * The scope of a call that names its resource itself. Null within `withResource` of another resource.
 */
export function scopeOfResource(resourceId: string): Scope | null {
  const scope = scopes.getStore();
  const isOther = scope !== undefined && !isVisible(scope, resourceId);
  return isOther ? null : { resourceId };
}

/**
 * The scope of an operator's work, such as a purge: the current resource, or all threads outside any
 * `withResource`. `work` names it.
 *
 * @throws {RunStoreError} `RESOURCE_REQUIRED`
 */
export function operatorScope(resources: Resources, work: string): Scope {
  const missing = `${work} of all threads has to be within withResource(EVERY_RESOURCE, fn)`;
  return scopeOr("every", resources, missing);
}

/** The scope of the call that is under way. `outside`: that of a call outside any `withResource`. */
function scopeOr(outside: Scope, resources: Resources, missing: string): Scope {
  const scope = scopes.getStore();
  if (scope !== undefined) return scope;
  if (resources === "optional") return outside;
  const message = `the runner has resources: "required", and ${missing}`;
  throw new RunStoreError("RESOURCE_REQUIRED", message);
}
