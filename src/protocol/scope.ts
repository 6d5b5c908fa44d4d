/**
 * Which threads a call sees: those of one resource, those of nobody (`resourceId` null), or all threads.
 *
 * A resource is a user, a team or a tenant: whatever an application calls the owner of a thread.
 */
export type Scope = { readonly resourceId: string | null } | "every";

/** The threads of nobody. */
export const UNOWNED: Scope = { resourceId: null };

/** Whether a call with `scope` sees a thread of `resourceId`. */
export function isVisible(scope: Scope, resourceId: string | null): boolean {
  return scope === "every" || scope.resourceId === resourceId;
}
