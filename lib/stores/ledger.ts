import { join, resolve } from 'node:path';
import { Environment } from './environment.js';
import { directoryLost } from './failure.js';
import { Draft, type View } from './view.js';

/** Bounds how long drafting keeps the event loop: some milliseconds. */
const GROUP = 100;
/** … by what is changed, too: one change may evict many pages. */
const GROUP_KEYS = 1000;
/** … and the memory of one commit. */
const GROUP_BYTES = 2 ** 24;

interface Waiting {
  /** @returns what settles its promise, after the commit */
  draft: (draft: Draft) => () => void;
  reject: (error: unknown) => void;
}

/**
 * The index of one directory: reads at once, changes one group after the other. All changes that come while a group is on its
 * way to the disk make the next one, so that a thousand take a few fsyncs. Shared by all stores of a thread on one directory.
 */
export class Ledger {
  static readonly #ledgers = new Map<string, Ledger>();

  /** Absolute. */
  readonly root: string;
  #users = 0;
  #opening: Promise<Environment> | undefined;
  #closing: Promise<void> = Promise.resolve();
  #environment: Environment | undefined;
  /** Of the first environment: there is no other one for this ledger. */
  #identity: string | undefined;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #nextTurn: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;

  private constructor(root: string) {
    this.root = root;
  }

  /** The one of that directory; `leave()` it in the end. */
  static join(path: string): Ledger {
    const root = resolve(path);
    const known = Ledger.#ledgers.get(root);
    const ledger = known === undefined || known.isLost ? new Ledger(root) : known;
    Ledger.#ledgers.set(root, ledger);
    ledger.#users++;
    return ledger;
  }

  /** Reads in the newest state, at once. */
  async read<T>(work: (view: View) => T): Promise<T> {
    const environment = await this.#open();
    return this.#guard(environment, work);
  }

  /** For figures: undefined before the first use, and when the index can't be read just now. */
  peek<T>(work: (view: View) => T): T | undefined {
    try {
      return this.#environment?.read(work);
    } catch {
      return undefined; // whoever needs it says why
    }
  }

  /**
   * Changes the index. The work may run several times, when others write meanwhile; when it throws, it has changed nothing.
   * @returns its result, when the change is on the disk
   */
  change<T>(work: (draft: Draft) => T): Promise<T> {
    const changed = new Promise<T>((resolve, reject) => {
      const draft = (upon: Draft): (() => void) => {
        try {
          const result = upon.attempt(work);
          return () => {
            resolve(result);
          };
        } catch (error) {
          return () => {
            // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it came
            reject(error);
          };
        }
      };
      this.#waiting.push({ draft, reject });
    });
    this.#writing ??= this.#write();
    return changed;
  }

  /** Does that in the background, once as long as anybody uses the directory. What goes wrong can be done the next time. */
  sweepOnce(sweep: () => Promise<void>): void {
    this.#sweeping ??= sweep().catch(() => undefined);
  }

  /** The directory was removed or replaced. Whoever uses this waits for it to be put back; whoever joins gets another one. */
  get isLost(): boolean {
    try {
      return this.#environment?.isLost === true;
    } catch {
      return false; // it can't be looked at just now
    }
  }

  /** Nobody uses it any more: what runs in the background should end. */
  get isAbandoned(): boolean {
    return this.#users === 0;
  }

  /** The last one to leave closes the environment. */
  async leave(): Promise<void> {
    this.#users--;
    if (this.#users > 0) return;
    if (Ledger.#ledgers.get(this.root) === this) Ledger.#ledgers.delete(this.root);
    await this.#sweeping;
    await this.#writing;
    await this.#discard(await this.#opening?.catch(() => undefined));
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      let group: Waiting[] = [];
      try {
        const environment = await this.#open();
        group = this.#waiting.splice(0, GROUP);
        const settled = await this.#commit(environment, group);
        this.#waiting.unshift(...group.slice(settled));
      } catch (error) {
        for (const { reject } of group.length > 0 ? group : this.#waiting.splice(0)) reject(error);
      }
    }
    this.#writing = undefined;
  }

  /** @returns how many of the group are done; the others have to be drafted again, upon what is stored by then */
  async #commit(environment: Environment, group: readonly Waiting[]): Promise<number> {
    const { generation, draft, settle } = this.#guard(environment, (view) => draftAll(view, group));
    if (draft.changes.size > 0) {
      try {
        if (!(await environment.commit(draft, generation))) return 0;
      } catch (error) {
        // Whatever it was: an index that is opened anew has none of it.
        void this.#discard(environment);
        throw error;
      }
      // Then it went into a file that nobody will find.
      if (environment.isLost) throw directoryLost();
    }
    for (const each of settle) each();
    return settle.length;
  }

  /** An environment that can't be read any more is opened anew by the next call. */
  #guard<T>(environment: Environment, work: (view: Environment) => T): T {
    try {
      return environment.read(work);
    } catch (error) {
      void this.#discard(environment);
      throw error;
    }
  }

  async #open(): Promise<Environment> {
    await this.#turn();
    // Never another one instead: it would have no part of what was acknowledged, or hide that a disk is not mounted.
    if (this.#environment?.isLost === true) throw directoryLost();
    await this.#closing;
    this.#opening ??= Environment.open(join(this.root, 'index'), this.#identity).then(
      (environment) => {
        this.#identity = environment.identity;
        return (this.#environment = environment);
      },
      (error: unknown) => {
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /**
   * What is in memory is read without ever waiting: whoever reads in a loop would keep everybody else, the writers that it waits
   * for among them, from the event loop.
   */
  #turn(): Promise<void> {
    this.#nextTurn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#nextTurn = undefined;
        resolve();
      });
    });
    return this.#nextTurn;
  }

  #discard(environment: Environment | undefined): Promise<void> {
    if (environment !== undefined && environment === this.#environment) {
      this.#environment = undefined;
      this.#opening = undefined;
      this.#closing = environment.close().catch(() => undefined);
    }
    return this.#closing;
  }
}

/** As many of the group as one commit should carry, each upon what those before it left. */
function draftAll(
  view: Environment,
  group: readonly Waiting[],
): { generation: number; draft: Draft; settle: (() => void)[] } {
  const generation = view.generation;
  const draft = new Draft(view);
  const settle: (() => void)[] = [];
  for (const each of group) {
    if (draft.bytes > GROUP_BYTES || draft.changes.size > GROUP_KEYS) break;
    settle.push(each.draft(draft));
  }
  return { generation, draft, settle };
}
