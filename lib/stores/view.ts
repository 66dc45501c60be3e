/** One character per byte, so that JavaScript's `<` is the order of the index and a Map can hold them. */
export type Key = string;

/** The index at one moment. */
export interface View {
  /** The caller may keep it, not change it. */
  get(key: Key): Buffer | undefined;
  /** In ascending order, at most `limit`. @param below the first key that is out again */
  range(from: Key, below: Key, limit: number): [Key, Buffer][];
}

/** What a change would make of the index. Nothing is written before the whole of it is. */
export class Draft implements View {
  /** Null: removed. */
  readonly changes: Map<Key, Buffer | null> = new Map();
  readonly #base: View;
  #bytes = 0;

  constructor(base: View) {
    this.#base = base;
  }

  get(key: Key): Buffer | undefined {
    const changed = this.changes.get(key);
    return changed === undefined ? this.#base.get(key) : (changed ?? undefined);
  }

  /** Of all values that were put: about what a commit has to write. */
  get bytes(): number {
    return this.#bytes;
  }

  put(key: Key, value: Buffer): void {
    this.#bytes += value.byteLength;
    this.changes.set(key, value);
  }

  remove(key: Key): void {
    this.changes.set(key, null);
  }

  range(from: Key, below: Key, limit: number): [Key, Buffer][] {
    const changed = [...this.changes].filter(([key]) => key >= from && key < below);
    const removed = changed.filter(([, value]) => value === null).length;
    const merged = new Map(this.#base.range(from, below, limit + removed));
    for (const [key, value] of changed) {
      if (value === null) merged.delete(key);
      else merged.set(key, value);
    }
    return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit);
  }

  /** All of the work or, when it throws, nothing. */
  attempt<T>(work: (draft: Draft) => T): T {
    const inner = new Draft(this);
    const result = work(inner);
    for (const [key, value] of inner.changes) this.changes.set(key, value);
    this.#bytes += inner.bytes;
    return result;
  }
}
