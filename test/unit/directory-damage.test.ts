import { link, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { envelope } from '../../lib/stores/envelope.js';
import { Versions } from '../../lib/stores/versions.js';
import { bytes, failure, makeBench, read, recordFiles } from '../support/directory.js';

const bench = makeBench();

describe('after a power failure', () => {
  const tear = [
    ['empty', (path: string) => truncate(path, 0)],
    ['cut off in its record', async (path: string) => truncate(path, (await stat(path)).size - 1)],
    ['cut off in its label', (path: string) => truncate(path, 14)],
    ['blank', async (path: string) => writeFile(path, new Uint8Array((await stat(path)).size))],
  ] as const;

  test.each(tear)('a newest version that is %s gives way to the one before', async (_, damage) => {
    await bench.store.putRecord('a', bytes('one'), { expected: 0, durability: 'everysec' });
    await bench.store.putRecord('a', bytes('two'), { expected: 1, durability: 'everysec' });
    await bench.store.putRecord('a', bytes('three'), { expected: 2, durability: 'everysec' });
    for (const path of (await recordFiles(bench.root)).slice(1)) await damage(path);
    expect(await read(bench.store, 'a')).toBe('1:one');
    const listed = [];
    for await (const record of bench.store.listRecords()) listed.push(`${record.id} ${String(record.version)}`);
    expect(listed).toEqual(['a 1']);
    expect(await bench.store.putRecord('a', bytes('again'), { expected: 1 })).toBe(2);
    expect(await read(bench.store, 'a')).toBe('2:again');
  });

  test.each(tear)('an only version that is %s is a failure, not a session that never was', async (_, damage) => {
    await bench.store.putRecord('a', bytes('one'), { expected: 0 });
    for (const path of await recordFiles(bench.root)) await damage(path);
    const error = await failure(bench.store.getRecord('a'));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toContain((await recordFiles(bench.root))[0]);
    expect(await bench.store.deleteRecord('a')).toBe(true);
    expect(await bench.store.putRecord('a', bytes('new'), { expected: 0 })).toBe(1);
  });
});

describe('damage', () => {
  test.each([
    ['another magic', (file: Buffer) => file.write('WHAT', 'latin1')],
    ['a label that is no JSON', (file: Buffer) => file.write('!', 12, 'latin1')],
  ])('%s is a failure that names the file', async (_, damage) => {
    await bench.store.putRecord('a', bytes('one'), { expected: 0 });
    await bench.store.putRecord('a', bytes('two'), { expected: 1 });
    const path = (await recordFiles(bench.root))[1] ?? '';
    const file = await readFile(path);
    damage(file);
    await writeFile(path, file);
    const error = await failure(bench.store.getRecord('a'));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toContain(path);
  });

  test('a damaged record does not hide the others from a listing', async () => {
    for (const id of ['a', 'b', 'c']) await bench.store.putRecord(id, bytes(id), { expected: 0 });
    const paths = await recordFiles(bench.root);
    const contents = await Promise.all(paths.map((path) => readFile(path, 'latin1')));
    await writeFile(paths[contents.findIndex((content) => content.includes('"b"'))] ?? '', 'something else entirely');
    const seen: string[] = [];
    const listing = (async () => {
      for await (const record of bench.store.listRecords()) seen.push(record.id);
    })();
    expect((await failure(listing)).code).toBe('STORE_FAILED');
    expect(seen).toEqual(['a', 'c']);
  });

  test('a version that is never there when it is read ends in a failure, not in a loop', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    const [path = ''] = await recordFiles(bench.root);
    await symlink(join(bench.root, 'nowhere'), path.replace('1.record', '2.record'));
    expect((await failure(bench.store.getRecord('a'))).message).toMatch(/faster than it can be read; try again/);
  });

  test('labels longer than one read are listed', async () => {
    const id = '\ud800'.repeat(3000);
    await bench.store.putRecord(id, bytes('x'), { expected: 0 });
    const ids = [];
    for await (const record of bench.store.listRecords()) ids.push(record.id);
    expect(ids).toEqual([id]);
  });

  test('foreign files are left alone', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    const folder = join((await recordFiles(bench.root))[0] ?? '', '..');
    for (const name of ['.DS_Store', '2.record.bak', '01.record', '-1.record', '99999999999999999999.record']) {
      await writeFile(join(folder, name), 'foreign');
    }
    await writeFile(join(bench.root, 'sessions', 'notes.txt'), 'foreign');
    expect(await read(bench.store, 'a')).toBe('1:x');
    expect(await bench.store.putRecord('a', bytes('y'), { expected: 1 })).toBe(2);
    expect(await bench.store.deleteRecord('a')).toBe(true);
    expect(await bench.store.getRecord('a')).toBeUndefined();
    expect(await readdir(folder)).toHaveLength(5);
    expect(await bench.store.putRecord('a', bytes('z'), { expected: 0 })).toBe(1);
  });
});

describe('stale writers', () => {
  let file: string;
  beforeEach(async () => {
    file = join(bench.root, 'finished');
    await writeFile(file, Buffer.concat([envelope({ id: 'a' }, 1), bytes('s')]));
  });
  const folder = async (): Promise<string> => join((await recordFiles(bench.root))[0] ?? '', '..');

  // add() is what a writer does after expect() has seen the version that it wants: here others have written in between.
  test('a writer overtaken by several does not win though its version is free again', async () => {
    for (let expected = 0; expected < 7; expected++) await bench.store.putRecord('a', bytes('x'), { expected });
    const error = await failure(new Versions(await folder()).add(file, 4, true));
    expect(error.code).toBe('SESSION_CONFLICT');
    expect(await read(bench.store, 'a')).toBe('7:x');
    expect(await recordFiles(bench.root)).toHaveLength(2);
  });

  test('nor one that creates', async () => {
    for (let expected = 0; expected < 3; expected++) await bench.store.putRecord('a', bytes('x'), { expected });
    expect((await failure(new Versions(await folder()).add(file, 0, true))).code).toBe('SESSION_CONFLICT');
    expect(await read(bench.store, 'a')).toBe('3:x');
  });

  test('nor one whose record was deleted and made again', async () => {
    await bench.store.putRecord('a', bytes('new'), { expected: 0 });
    expect((await failure(new Versions(await folder()).add(file, 4, true))).code).toBe('SESSION_CONFLICT');
    expect(await read(bench.store, 'a')).toBe('1:new');
  });

  test('nor one whose record was deleted', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    const versions = new Versions(await folder());
    await bench.store.deleteRecord('a');
    expect((await failure(versions.add(file, 1, true))).code).toBe('SESSION_CONFLICT');
    expect(await bench.store.getRecord('a')).toBeUndefined();
  });

  test('one that was in time wins although the next has been written already', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    const versions = new Versions(await folder());
    // The next writer links version 3 and tidies between our link and our look.
    await link(file, versions.path(3));
    await rm(versions.path(1));
    await versions.add(file, 1, true);
    expect(await read(bench.store, 'a')).toBe('3:s');
  });
});
