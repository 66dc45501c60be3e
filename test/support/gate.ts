/** Holds back what passes while it is closed, in order. */
export class Gate {
  #closed = false;
  readonly #waiting: (() => void)[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  close(): void {
    this.#closed = true;
  }

  open(): void {
    this.#closed = false;
    for (const pass of this.#waiting.splice(0)) pass();
  }

  /** Lets the first that waits pass. */
  step(): void {
    this.#waiting.shift()?.();
  }

  async pass(): Promise<void> {
    if (this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** Puts a gate before a method of this object: its calls wait while that is closed. */
export function gateBefore<Name extends PropertyKey>(
  object: Record<Name, (...given: never[]) => Promise<unknown>>,
  name: Name,
): Gate {
  const gate = new Gate();
  const method = object[name].bind(object);
  object[name] = async (...given) => {
    await gate.pass();
    return method(...given);
  };
  return gate;
}
