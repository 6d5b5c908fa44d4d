import type { Round } from "../round.ts";

export async function killAtRandom(round: Round): Promise<void> {
  for (let life = 0; life < 3; life++) {
    const child = round.start(`p${life}`);
    await child.until("begun");
    if (round.random.chance(0.8)) await child.until("run", round.random.integer(1, 20));
    await round.pause(0, 100);
    await child.kill();
  }
}

export async function killFour(round: Round): Promise<void> {
  const threads = Array.from({ length: 8 }, (_, at) => `thread-${at}`);
  const { random } = round;
  // Chosen beforehand: random choices must not depend on which process is faster.
  const plans = [0, 1, 2, 3].map((at) => ({
    name: `p${at}`,
    threadIds: random.shuffle(threads).slice(0, 5),
    lives: [random.integer(1, 10), random.integer(1, 10)],
    lastIsKilled: random.chance(0.5),
  }));
  const live = async ({ name, threadIds, lives, lastIsKilled }: (typeof plans)[number]) => {
    for (const [life, runs] of lives.entries()) {
      const child = round.start(`${name}-${life}`, { threadIds });
      await child.until("run", runs);
      if (life < lives.length - 1 || lastIsKilled) await child.kill();
    }
  };
  await Promise.all(plans.map(live));
}
