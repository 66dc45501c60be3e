import { expect, test } from 'vitest';
import { decodePage, decodePageHeader, isWhole, PAGE_HEADER_BYTES, pageHeader } from '../../lib/page.js';
import { seal } from '../../lib/sealed.js';

const key = 'a1'.repeat(32);
const kv = Uint8Array.from({ length: 64 }, (_, i) => i);
const page = async (bytes = kv): Promise<Uint8Array> => Buffer.concat([await pageHeader(key, bytes), bytes]);
const sealed = (json: string): Uint8Array => seal('LSKVPAGE', 1, [Buffer.from(json)]);
/** Its fields, to be forged. */
const fields = async (): Promise<object> => {
  const header = Buffer.from(await pageHeader(key, kv));
  return JSON.parse(header.toString('utf8', 16, header.byteLength - 32)) as object;
};

test('what goes in comes out, as a view', async () => {
  const bytes = await page();
  const content = await decodePage(bytes, key);
  expect(content).toEqual({ kv: Buffer.from(kv) });
  expect('kv' in content && content.kv.buffer).toBe(bytes.buffer);
});

test('KV of no bytes and of many chunks', async () => {
  for (const length of [0, 1, 2 ** 20, 2 ** 20 + 1, 5 * 2 ** 20]) {
    const large = Uint8Array.from({ length }, (_, i) => i % 251);
    const content = await decodePage(await page(large), key);
    expect('kv' in content && Buffer.compare(content.kv, large) === 0).toBe(true);
  }
});

test('chunks that change places are found out', async () => {
  const large = new Uint8Array(2 ** 21).fill(1, 0, 2 ** 20);
  const header = await pageHeader(key, large);
  const swapped = new Uint8Array(2 ** 21).fill(1, 2 ** 20);
  expect(await decodePage(Buffer.concat([header, swapped]), key)).toEqual({ problem: 'corrupt' });
});

test('the page of another key is foreign', async () => {
  for (const other of ['b2'.repeat(32), key.toUpperCase(), key.slice(1), '']) {
    expect(await decodePage(await page(), other)).toEqual({ problem: 'foreign' });
  }
});

test('any byte changed: corrupt, never a throw', async () => {
  const good = await page();
  for (let i = 0; i < good.byteLength; i++) {
    const bad = Uint8Array.from(good);
    bad[i] = (bad[i] ?? 0) ^ 0x10;
    expect(await decodePage(bad, key)).toEqual({ problem: 'corrupt' });
  }
});

test('cut off anywhere, or too long: corrupt', async () => {
  const good = await page();
  for (let length = 0; length < good.byteLength; length++) {
    expect(await decodePage(good.subarray(0, length), key)).toEqual({ problem: 'corrupt' });
  }
  expect(await decodePage(Buffer.concat([good, Buffer.of(0)]), key)).toEqual({ problem: 'corrupt' });
});

test('a newer format is foreign', async () => {
  expect(await decodePage(seal('LSKVPAGE', 2, [Buffer.from('new')]), key)).toEqual({ problem: 'foreign' });
});

test.each([
  '{',
  'null',
  '[]',
  '{}',
  `{"key":"${key}"}`,
  `{"key":"${key}","kvBytes":0}`,
  `{"key":"${key}","kvBytes":-1,"kvHash":"${key}"}`,
  `{"key":"${key}","kvBytes":0.5,"kvHash":"${key}"}`,
  `{"key":"short","kvBytes":0,"kvHash":"${key}"}`,
  `{"key":"${key}","kvBytes":0,"kvHash":"short"}`,
  `{"key":"${key}","kvBytes":0,"kvHash":"${key}","more":1}`,
])('a well sealed header of %s is corrupt', async (json) => {
  expect(await decodePage(sealed(json), key)).toEqual({ problem: 'corrupt' });
});

test('the forger of the headers above makes good ones too', async () => {
  const forged = sealed(JSON.stringify(await fields()));
  expect(await decodePage(Buffer.concat([forged, kv]), key)).toEqual({ kv: Buffer.from(kv) });
});

test.each([0, 63, 65, 2 ** 40, Number.MAX_SAFE_INTEGER])(
  'a header that claims %d bytes of KV before 64 is corrupt',
  async (kvBytes) => {
    const forged = sealed(JSON.stringify({ ...(await fields()), kvBytes }));
    expect(await decodePage(Buffer.concat([forged, kv]), key)).toEqual({ problem: 'corrupt' });
  },
);

test('a header that claims to be huge is not believed', async () => {
  const beginning = Buffer.alloc(100);
  beginning.write('LSKVPAGE', 'latin1');
  beginning.writeUInt32LE(1, 8);
  beginning.writeUInt32LE(0xffff_fff0, 12);
  expect(decodePageHeader(beginning, 2 ** 40, key)).toEqual({ problem: 'corrupt' });
  const json = JSON.stringify(await fields());
  const padded = (bytes: number): Uint8Array => sealed(json.padEnd(bytes - 48)); // with the seal around it
  expect(decodePageHeader(padded(PAGE_HEADER_BYTES), 2 ** 40, key)).toMatchObject({ headerBytes: PAGE_HEADER_BYTES });
  expect(decodePageHeader(padded(PAGE_HEADER_BYTES + 1), 2 ** 40, key)).toEqual({ problem: 'corrupt' });
});

test('its beginning says how much follows, before it is read', async () => {
  const header = await pageHeader(key, kv);
  expect(header.byteLength).toBeLessThanOrEqual(PAGE_HEADER_BYTES);
  const decoded = decodePageHeader(Buffer.concat([header, kv.subarray(0, 3)]), header.byteLength + 64, key);
  expect(decoded).toMatchObject({ headerBytes: header.byteLength, kvBytes: 64 });
  // More may follow: another page. Less may not.
  expect(decodePageHeader(header, header.byteLength + 1000, key)).toEqual(decoded);
  expect(decodePageHeader(header, header.byteLength + 63, key)).toEqual({ problem: 'corrupt' });
});

test('KV is whole when length and content are what the header says', async () => {
  const header = decodePageHeader(await pageHeader(key, kv), 1000, key);
  if ('problem' in header) expect.unreachable();
  expect(await isWhole(header, kv)).toBe(true);
  expect(await isWhole(header, kv.subarray(0, 63))).toBe(false);
  expect(await isWhole(header, Uint8Array.from(kv).fill(9, 63))).toBe(false);
});

test('much is hashed beside the event loop, not on it', async () => {
  const large = new Uint8Array(200 * 2 ** 20);
  const start = performance.now();
  const header = pageHeader(key, large);
  const blocked = performance.now() - start;
  await header;
  // On it, hashing takes 150 ms and more; digest() of all at once copies it here first, which takes 50.
  expect(blocked).toBeLessThan((performance.now() - start) / 4);
});
