/** Archives that every tar reads, and the same bytes wherever they are made (scripts/parts/tar.mjs). */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tarOf } from '../../scripts/parts/tar.mjs';

function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tar-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

const files = { 'a.c': 'int a;\n', 'b/empty': '', 'b/whole block': 'x'.repeat(512), 'b/c/many': 'y'.repeat(30_000) };
const names = Object.keys(files);

test.each(['tar', 'cmake -E tar'])('%s unpacks what was packed', (program) => {
  const from = folderWith(files);
  const to = folderWith({ 'archive.tar': '' });
  writeFileSync(join(to, 'archive.tar'), tarOf(from, names));
  const [command = '', ...first] = program.split(' ');
  execFileSync(command, [...first, 'xf', 'archive.tar'], { cwd: to });
  for (const [name, content] of Object.entries(files)) expect(readFileSync(join(to, name), 'utf8')).toBe(content);
});

test('neither times nor modes change the bytes', () => {
  const folder = folderWith(files);
  const before = tarOf(folder, names);
  utimesSync(join(folder, 'a.c'), 1, 1);
  chmodSync(join(folder, 'a.c'), 0o755);
  expect(tarOf(folder, names).equals(before)).toBe(true);
  // Of GNU tar 1.34: --format=ustar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r
  expect(createHash('sha256').update(before).digest('hex')).toBe(
    '1ffd1b0d4a284aec468d5eae179b2451ac0038a7d1f07425060b43107d46e6f4',
  );
});

test('a name that does not fit is refused', () => {
  const name = `${'d'.repeat(60)}/${'f'.repeat(60)}`;
  expect(() => tarOf(folderWith({ [name]: '' }), [name])).toThrow('too long');
});
