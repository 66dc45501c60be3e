import type { ClaimTable } from './claims.js';
import type { Ledger } from './ledger.js';
import { beat, claim, leave, release } from './owners.js';

/** The claims of one owner, in the index of a directory. */
export class LedgerClaims implements ClaimTable {
  readonly #ledger: Ledger;
  readonly #owner: string;

  constructor(ledger: Ledger, owner: string) {
    this.#ledger = ledger;
    this.#owner = owner;
  }

  claim(id: string, takeOver: boolean): Promise<void> {
    return this.#ledger.change((draft) => {
      claim(draft, id, this.#owner, takeOver);
    });
  }

  release(ids: readonly string[], isLast: () => boolean): Promise<void> {
    return this.#ledger.change((draft) => {
      for (const id of ids) release(draft, id, this.#owner);
      if (isLast()) leave(draft, this.#owner);
    });
  }

  /** One word for all that it holds; who loses one hears of it when he writes. */
  beat(): Promise<readonly string[]> {
    return this.#ledger.change((draft) => {
      beat(draft, this.#owner);
      return [];
    });
  }
}
