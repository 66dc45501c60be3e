/** Clocks in a test's hand: what happens after a minute is seen at once. */
import { onTestFinished, vi } from 'vitest';

export interface Time {
  /** Lets so much time go by, with all that is due in it. */
  pass(ms: number): void;
  /** Sets the clock on the wall, and nothing else: timers and performance.now() go on as before. */
  setClock(now: Date): void;
}

/** Stops intervals and clocks until the test ends. Promises, timeouts and threads go on, so that what begins also ends. */
export function holdTime(): Time {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
  return {
    pass: (ms) => void vi.advanceTimersByTime(ms),
    setClock: (now) => void vi.setSystemTime(now),
  };
}
