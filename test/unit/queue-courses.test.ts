import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TurnQueue, type QueueEntry } from '../../lib/queue.js';

let clock = 0;
const now = (): number => clock;

/** What the queue must do, done slowly: looks at everything each time. */
class Model {
  readonly waiting: { key: string; priority: number; at: number; id: number; unbounded: boolean }[] = [];
  readonly busy = new Set<string>();

  next(bad: string): number | undefined {
    const heads = this.waiting.filter((entry, i) => this.waiting.findIndex((other) => other.key === entry.key) === i);
    const score = (entry: { priority: number; at: number }): number => entry.priority + (clock - entry.at) / 1000;
    const free = heads.filter((entry) => !this.busy.has(entry.key)).sort((a, b) => score(b) - score(a) || a.id - b.id);
    const first = free.find((entry) => !entry.unbounded);
    const best = free.find((entry) => entry.unbounded || (entry === first && entry.key !== bad));
    if (best === undefined) return undefined;
    this.waiting.splice(this.waiting.indexOf(best), 1);
    this.busy.add(best.key);
    return best.id;
  }
}

test('property: any course of events goes as in the simple model', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd');
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      key,
      priority: fc.integer({ min: -3, max: 3 }),
      unbounded: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('next' as const), key }),
    fc.record({ kind: fc.constant('release' as const), key }),
    fc.record({ kind: fc.constant('remove' as const), index: fc.nat(20) }),
    // Whole steps, in which the model's division is exact.
    fc.record({ kind: fc.constant('wait' as const), steps: fc.nat(4) }),
  );
  fc.assert(
    // Without `size`, courses would be of ten events at most.
    fc.property(fc.array(event, { maxLength: 80, size: 'max' }), (events) => {
      clock = 0;
      const queue = new TurnQueue<number>({ agingMs: 1000, now });
      const model = new Model();
      const entries: QueueEntry<number>[] = [];
      for (const each of events) {
        if (each.kind === 'wait') clock += each.steps * 1000;
        if (each.kind === 'add') {
          const id = entries.length;
          const { key, priority, unbounded } = each;
          entries.push(queue.add({ key, priority, value: id, unbounded }));
          model.waiting.push({ key, priority, at: clock, id, unbounded });
        }
        if (each.kind === 'next')
          expect(queue.next((entry) => entry.key !== each.key)?.value).toBe(model.next(each.key));
        if (each.kind === 'release') {
          queue.release(each.key);
          model.busy.delete(each.key);
        }
        const entry = each.kind === 'remove' ? entries[each.index] : undefined;
        if (entry !== undefined) {
          const index = model.waiting.findIndex((waiting) => waiting.id === entry.value);
          if (index >= 0) model.waiting.splice(index, 1);
          expect(queue.remove(entry)).toBe(index >= 0);
        }
        expect(queue.size).toBe(model.waiting.filter(({ unbounded }) => !unbounded).length);
      }
      expect([...queue].map((entry) => entry.value).sort()).toEqual(model.waiting.map((entry) => entry.id).sort());
    }),
    { numRuns: 500 },
  );
});
