/*
 * The values of `unfinished_threads.is_fork`: what is done with a thread in several transactions.
 */

export const REMOVAL = 0;

export const FORK = 1;

/** Like a fork, a thread that is imported is unknown until it is whole. */
export const IMPORT = 2;
