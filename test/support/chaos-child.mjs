/**
 * Uses a store at random until it is killed, and says in a file what it begins and what was acknowledged, a line each.
 * Arguments: lib, directory, log, seed, ids.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chances, logTo, pageKeys, pageOf } from './chaos.mjs';

const [, , lib, root, log, seed, ids] = process.argv;
const { DirectoryStore } = await import(pathToFileURL(join(lib, 'stores/directory.js')).href);
// Room for some pages only, so that it has to evict.
const store = new DirectoryStore(root, { pageBytes: 400_000 });
const say = logTo(log);
const below = chances(Number(seed));
const someKey = () => pageKeys[below(pageKeys.length)];
const someKeys = () => Array.from({ length: below(6) }, someKey);

async function act(id) {
  const choice = below(100);
  if (choice < 45) {
    const record = await store.getRecord(id);
    const [expected, pages] = [record?.version ?? 0, someKeys()];
    // The log holds the first word only: a line must be written whole.
    const word = String(below(1e9));
    const text = `${word} ${'x'.repeat(below(20_000))}`;
    const expiresAt = below(2) === 0 ? undefined : below(1e9);
    say({ id, begun: word });
    await store.putRecord(id, Buffer.from(text), {
      expected,
      pages,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    });
    say({ id, done: word });
  } else if (choice < 55) {
    say({ id, begun: null });
    await store.deleteRecord(id);
    say({ id, done: null });
  } else if (choice < 85) {
    const key = someKey();
    await store.putPage(key, pageOf(key));
  } else if (choice < 96) {
    const key = someKey();
    const page = await store.getPage(key);
    if (page && !pageOf(key).equals(page)) say({ wrong: key });
  } else if (choice < 98) {
    await store.deletePage(someKey());
  } else {
    await store.sweep();
  }
}

// Whoever was to kill it has ended before.
process.once('disconnect', () => process.exit());
// So that the kill comes when it works, not while it starts.
await store.getRecord('');
process.send('ready');
await Promise.all(
  ids.split(',').map(async (id) => {
    for (;;) await act(id);
  }),
);
