const BAR_WIDTH = 24;

/** Milliseconds between two notes of a long piece of work where there is no terminal. */
const NOTE_MS = 10_000;

export interface Progress {
  start(label: string): void;
  /** Says how far a long piece of work is. */
  note(detail: string): void;
  /** Ends the started piece of work. `result` is its result in a few words. */
  end(result: string): void;
  stop(): void;
}

/** The part of a terminal stream that a live bar needs. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * Shows the progress of the work: a live bar on a terminal, elsewhere a line for each piece.
 * `expectedSeconds` has an entry for each piece.
 */
export function showProgress(
  expectedSeconds: readonly number[],
  stream: ProgressStream,
  now: () => number = () => performance.now(),
): Progress {
  const total = expectedSeconds.reduce((sum, seconds) => sum + seconds, 0);
  const began = now();
  const isLive = stream.isTTY === true;
  let done = 0;
  let doneSeconds = 0;
  let label = "";
  let startedAt = began;
  let notedAt = began;
  let detail = "";

  const render = () => {
    const elapsed = (now() - began) / 1000;
    const expected = expectedSeconds[done] ?? 0;
    const current = Math.min((now() - startedAt) / 1000, expected * 0.95);
    const share = total === 0 ? 1 : Math.min(1, (doneSeconds + current) / total);
    // Assume the pace so far: a busy machine takes longer than planned.
    const pace = doneSeconds > 0 ? (startedAt - began) / 1000 / doneSeconds : 1;
    const left = Math.max(0, (total - doneSeconds - current) * pace);
    const filled = Math.round(share * BAR_WIDTH);
    const bar = `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}`;
    const text = `${bar} ${Math.round(share * 100)} %  ${done + 1}/${expectedSeconds.length}  ${Math.round(elapsed)} s, ${Math.round(left)} s left  ${label}${detail}`;
    stream.write(`\r\u001b[K${text.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  const timer = isLive ? setInterval(render, 250) : null;
  timer?.unref();

  return {
    start(next) {
      label = next;
      detail = "";
      startedAt = now();
      notedAt = startedAt;
      if (isLive) render();
    },
    note(said) {
      detail = `: ${said}`;
      if (isLive) render();
      else if (now() - notedAt >= NOTE_MS) {
        notedAt = now();
        stream.write(`         ${label}${detail}\n`);
      }
    },
    end(result) {
      const seconds = (now() - startedAt) / 1000;
      doneSeconds += expectedSeconds[done] ?? 0;
      done++;
      if (isLive) return;
      const place = `${done}/${expectedSeconds.length}`.padStart(7);
      stream.write(`${place}  ${label}: ${result} (${seconds.toFixed(1)} s)\n`);
    },
    stop() {
      if (timer !== null) clearInterval(timer);
      if (isLive) stream.write("\r\u001b[K");
    },
  };
}
