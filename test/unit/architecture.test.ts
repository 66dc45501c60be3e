/** The map in ARCHITECTURE.md is that of the house: every file is on it, and everything on it is there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAPPED = ['native', 'lib', 'scripts', 'bench', 'examples', 'test'];
/** Installed, generated, measured. */
const NOT_OURS = /node_modules|^bench\/(models|results|plots)\/|^bench\/(RESULTS\.md|package-lock\.json)$/;

const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
const tree = /^```\n(.*?)^```$/ms.exec(text)?.[1] ?? '';

/** The paths of a tree, as patterns. A folder that has nothing below it in the tree stands for all that it holds. */
function patternsOf(lines: readonly string[]): string[] {
  const patterns: string[] = [];
  let folder = '';
  for (const [i, line] of lines.entries()) {
    const [, indent = '', name = ''] = /^( *)(\S+)/.exec(line) ?? [];
    if (name.endsWith('/')) {
      folder = name;
      if (lines[i + 1]?.startsWith(' ') !== true) patterns.push(`${name}**`);
    } else {
      patterns.push((indent === '' ? '' : folder) + name);
    }
  }
  return patterns;
}

/** `a.{h,cpp}` is two files, `*` any part of a name, `**` anything. */
function expressionsOf(pattern: string): RegExp[] {
  const braces = /^(.*)\{(.*)\}(.*)$/.exec(pattern);
  const all =
    braces === null ? [pattern] : (braces[2] ?? '').split(',').map((part) => `${braces[1]}${part}${braces[3]}`);
  const escaped = all.map((path) =>
    path
      .replaceAll('.', '\\.')
      .replaceAll('**', '.+')
      .replaceAll(/(?<!\.)\*/g, '[^/]+'),
  );
  return escaped.map((source) => new RegExp(`^${source}$`));
}

const files = MAPPED.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length).replaceAll('\\', '/')),
).filter((path) => !NOT_OURS.test(path));

const expressions = patternsOf(tree.trimEnd().split('\n'))
  .filter((pattern) => MAPPED.some((folder) => pattern.startsWith(`${folder}/`)))
  .flatMap(expressionsOf);

test('every file is on the map', () => {
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((path) => !expressions.some((expression) => expression.test(path)))).toEqual([]);
});

test('everything on the map is there', () => {
  const missing = expressions.filter((expression) => !files.some((path) => expression.test(path)));
  expect(missing.map(String)).toEqual([]);
});

test('functions and files that the text names exist', () => {
  const sources = files
    .map((path) => (/\.(cpp|h|ts|mjs)$/.test(path) ? readFileSync(join(ROOT, path), 'utf8') : ''))
    .join('\n');
  const prose = text.replace(tree, '');
  const names = [...prose.matchAll(/`(?:\w+(?:::|\.))?#?(\w{4,})(?:\(\))?`/g)].map(([, name = '']) => name);
  expect(names.length).toBeGreaterThan(40);
  expect(names.filter((name) => !sources.includes(name) && !files.some((path) => path.includes(name)))).toEqual([]);
});
