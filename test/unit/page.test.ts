import { expect, test } from 'vitest';
import { decodePage, decodePageHeader, encodePage, type PageIdentity } from '../../lib/page.js';
import { seal } from '../../lib/sealed.js';

const identity: PageIdentity = { fingerprint: 'f00d', kvFormat: 'b1 f16', tokens: Int32Array.of(1, 2, 3) };
const kv = Uint8Array.from({ length: 64 }, (_, i) => i);
const page = async (bytes = kv): Promise<Uint8Array> => Buffer.concat([await encodePage(identity, bytes), bytes]);

test('what goes in comes out, as a view', async () => {
  const bytes = await page();
  const content = await decodePage(bytes, identity);
  expect(content).toEqual({ kv: Buffer.from(kv), tokens: 3 });
  expect('kv' in content && content.kv.buffer).toBe(bytes.buffer);
});

test('KV of no bytes and of many chunks', async () => {
  for (const length of [0, 1, 2 ** 20, 2 ** 20 + 1, 5 * 2 ** 20]) {
    const large = Uint8Array.from({ length }, (_, i) => i % 251);
    const content = await decodePage(await page(large), identity);
    expect('kv' in content && Buffer.compare(content.kv, large) === 0).toBe(true);
  }
});

test('chunks that change places are found out', async () => {
  const large = new Uint8Array(2 ** 21).fill(1, 0, 2 ** 20);
  const header = await encodePage(identity, large);
  const swapped = new Uint8Array(2 ** 21).fill(1, 2 ** 20);
  expect(await decodePage(Buffer.concat([header, swapped]), identity)).toEqual({ problem: 'corrupt' });
});

test('the page of a beginning serves a session that has gone on', async () => {
  const longer = { ...identity, tokens: Int32Array.of(1, 2, 3, 4, 5) };
  expect(await decodePage(await page(), longer)).toMatchObject({ tokens: 3 });
});

test.each<[string, Partial<PageIdentity>]>([
  ['another model', { fingerprint: 'beef' }],
  ['another format', { kvFormat: 'b1 q8_0' }],
  ['other tokens', { tokens: Int32Array.of(1, 2, 4) }],
  ['a session that was rewound', { tokens: Int32Array.of(1, 2) }],
])('the page of %s is foreign', async (_, other) => {
  expect(await decodePage(await page(), { ...identity, ...other })).toEqual({ problem: 'foreign' });
});

test('any byte changed: corrupt, never a throw', async () => {
  const good = await page();
  for (let i = 0; i < good.byteLength; i++) {
    const bad = Uint8Array.from(good);
    bad[i] = (bad[i] ?? 0) ^ 0x10;
    expect(await decodePage(bad, identity)).toEqual({ problem: 'corrupt' });
  }
});

test('cut off anywhere, or too long: corrupt', async () => {
  const good = await page();
  for (let length = 0; length < good.byteLength; length++) {
    expect(await decodePage(good.subarray(0, length), identity)).toEqual({ problem: 'corrupt' });
  }
  expect(await decodePage(Buffer.concat([good, Buffer.of(0)]), identity)).toEqual({ problem: 'corrupt' });
});

test('a newer format is foreign', async () => {
  expect(await decodePage(seal('LSKVPAGE', 2, [Buffer.from('new')]), identity)).toEqual({ problem: 'foreign' });
});

test.each(['{', 'null', '[]', '{}', '{"fingerprint":"f00d"}', '{"more":1}'])(
  'a well sealed header of %s is corrupt',
  async (json) => {
    expect(await decodePage(seal('LSKVPAGE', 1, [Buffer.from(json)]), identity)).toEqual({ problem: 'corrupt' });
  },
);

test('a header that claims to be huge is not believed', () => {
  const beginning = Buffer.alloc(100);
  beginning.write('LSKVPAGE', 'latin1');
  beginning.writeUInt32LE(1, 8);
  beginning.writeUInt32LE(0xffff_fff0, 12);
  expect(decodePageHeader(beginning, 2 ** 40, identity)).toEqual({ problem: 'corrupt' });
});

test('a header that claims more tokens than the session has is foreign, even with their hash', async () => {
  const header = Buffer.from(await encodePage(identity, kv));
  const fields = JSON.parse(header.toString('utf8', 16, header.byteLength - 32)) as object;
  const forged = seal('LSKVPAGE', 1, [Buffer.from(JSON.stringify({ ...fields, tokens: 5 }))]);
  expect(await decodePage(Buffer.concat([forged, kv]), identity)).toEqual({ problem: 'foreign' });
});

test('much is hashed beside the event loop, not on it', async () => {
  const large = new Uint8Array(200 * 2 ** 20);
  const start = performance.now();
  const header = encodePage(identity, large);
  const blocked = performance.now() - start;
  await header;
  // On it, hashing takes 150 ms and more; digest() of all at once copies it here first, which takes 50.
  expect(blocked).toBeLessThan((performance.now() - start) / 4);
});
