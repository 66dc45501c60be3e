/** Whatever happens to sessions and pages, no turn goes on from KV that is not of its own tokens. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { within } from '../support/deadline.js';
import { makePlace, PAGE, parked, say, never } from '../support/residency.js';

describe('KV is only ever taken for that of its own tokens', () => {
  test('also when the device has lost what a session was thought to have there', async () => {
    const place = makePlace({ keepsPages: false });
    const { residency, engine } = place;
    const a = await parked(place, say(PAGE));
    await place.speak(a, say(PAGE));
    await residency.cut(a, say(8));
    // Now it holds other tokens than it has pages of, at the same positions …
    await place.speak(a, say(PAGE, 2, 8));
    const b = await parked(place, say(3 * PAGE, 2, 8));
    // … and the device fails.
    engine.lose(a.sequence!);
    place.tiers.forget([b.pages[0]!.key]);
    await place.speak(a, say(3 * PAGE, 2, 8));
    expect(engine.mixups).toBe(0);
  });

  test.each([{ pages: true }, { pages: false }, { pages: false, portableKv: false }])(
    'property: whatever sessions do, with %o',
    async (kind) => {
      const session = fc.nat({ max: 3 });
      const length = fc.integer({ min: 1, max: 130 });
      const turn = fc.record({
        do: fc.constant('speak' as const),
        session,
        length,
        voice: fc.nat({ max: 2 }),
        common: fc.nat(130),
      });
      const other = fc.record({
        do: fc.constantFrom('park', 'cut', 'fork', 'delete', 'settle', 'pressure', 'lose', 'forget', 'stop'),
        session,
        length,
        voice: session,
        common: fc.constant(0),
      });
      const run = async (
        operations: { do: string; session: number; length: number; voice: number; common: number }[],
      ) => {
        const place = makePlace({ sequences: 3, ramBytes: 20_000, ...kind });
        const { residency, engine, speak, tiers } = place;
        const kvs = Array.from({ length: 4 }, () => new SessionKv());
        for (const { do: name, session, length, voice, common } of operations) {
          const kv = kvs[session]!;
          if (name === 'speak') {
            const prompt = say(length, voice, common);
            expect(await speak(kv, prompt)).toBeLessThanOrEqual(length);
          } else if (name === 'park') await residency.park(kv);
          else if (name === 'cut') await residency.cut(kv, kv.tokens.slice(0, length));
          else if (name === 'settle') residency.settle(Infinity);
          else if (name === 'pressure') engine.onPressure(length);
          else if (name === 'lose' && kv.sequence !== undefined) engine.lose(kv.sequence);
          else if (name === 'forget') tiers.forget(kv.pages.map(({ key }) => key));
          else if (name === 'delete') residency.delete(kv);
          else if (name === 'stop') {
            residency.seat(kv);
            await residency.restore(kv, say(length, voice, 16), never);
            residency.release(kv);
          } else if (name === 'fork' && voice !== session) {
            residency.drop(kvs[voice]!);
            kvs[voice] = new SessionKv();
            residency.fork(kv, kvs[voice], kv.tokens.slice(0, length));
          }
        }
        expect(engine.mixups).toBe(0);
        for (const kv of kvs) residency.delete(kv);
        expect(residency.residentCount).toBe(0);
        await within('written', tiers.written());
      };
      await fc.assert(fc.asyncProperty(fc.array(fc.oneof(turn, other), { maxLength: 25 }), run), { numRuns: 150 });
    },
  );
});
