/*
 * Random tests of the view are the same each time, unless told otherwise:
 * VIEW_SEED=7 VIEW_THREADS=20000 npm test -- test/events/view
 */
export const seed = Number(process.env.VIEW_SEED ?? 59);
export const threads = Number(process.env.VIEW_THREADS ?? 1000);
