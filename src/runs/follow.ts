import type { FollowMessage, FollowRequest } from "../protocol/messages.ts";

/**
 * The answer to a follower. `news` is what the journal of the run has since the last look. A follower that
 * has heard nothing of a run that has ended gets the stored run: the journal may lack the last events.
 */
export function tellFollower(
  { begun }: Pick<FollowRequest, "begun">,
  news: Omit<FollowMessage, "stored">,
  readStored: () => string | null,
): FollowMessage {
  const stored = news.running || begun ? null : readStored();
  return stored === null ? { ...news, stored } : { ...news, segments: [], more: false, stored };
}
