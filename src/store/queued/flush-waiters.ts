/** The callers that wait until all operations up to a certain order are settled. */
export class FlushWaiters {
  #settledOrder = 0;
  #waiters: { readonly order: number; readonly resolve: () => void }[] = [];

  /** Resolves when every operation up to `order` is settled. */
  async wait(order: number): Promise<void> {
    if (this.#settledOrder >= order) return;
    await new Promise<void>((resolve) => this.#waiters.push({ order, resolve }));
  }

  /** Notes that every operation up to `order` is settled. */
  settle(order: number): void {
    this.#settledOrder = Math.max(this.#settledOrder, order);
    const due = this.#waiters.filter((waiter) => waiter.order <= this.#settledOrder);
    this.#waiters = this.#waiters.filter((waiter) => waiter.order > this.#settledOrder);
    for (const waiter of due) waiter.resolve();
  }
}
