/** A promise that hangs must fail its test by name, not stop the run. */
import { setTimeout as pause } from 'node:timers/promises';
import { within } from './within.mjs';

export { within };

/** The error that it rejects with; a failure when it resolves. What throws at once counts as rejecting. */
export async function refusal(what: string, call: () => unknown, ms?: number): Promise<Error & { code?: unknown }> {
  let value: unknown;
  try {
    value = await within(what, Promise.resolve(call()), ms);
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(`${what}: threw ${String(error)}, which is no Error`);
    if (error.message.includes('still pending after')) throw error;
    return error;
  }
  throw new Error(`${what}: should have been refused, but came to ${JSON.stringify(value)}`);
}

/** Waits until it is so. */
export async function until(what: string, isSo: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`${what}: not so after ${String(ms)} ms`);
    await pause(2);
  }
}
