// What is compiled into the binaries, and its terms, taken from the sources that they are made of: THIRD_PARTY_LICENSES.
import fs from 'node:fs';
import { inRoot, readJson, shown } from './files.mjs';
import { Failure } from './process.mjs';

const file = inRoot('THIRD_PARTY_LICENSES');
const llama = (name) => inRoot('vendor/llama.cpp', name);
const ofLlama = (pin) => `as in llama.cpp ${pin.version}`;

/** `text`: the file that holds the terms; `comment`: where in it, when it is a source. `license`: their SPDX name. */
export const thirdParties = [
  { name: 'llama.cpp', license: 'MIT', version: (pin) => `${pin.version} (tree ${pin.tree})`, text: llama('LICENSE') },
  { name: 'ggml', license: 'MIT', version: ofLlama, text: llama('LICENSE') },
  { name: 'nlohmann-json', license: 'MIT', version: ofLlama, text: llama('licenses/LICENSE-jsonhpp') },
  { name: 'cpp-httplib', license: 'MIT', version: ofLlama, text: llama('vendor/cpp-httplib/LICENSE') },
  {
    name: 'subprocess.h',
    license: 'Unlicense',
    version: ofLlama,
    text: llama('vendor/sheredom/subprocess.h'),
    comment: /This is free[^]*?(?=\*\/)/,
  },
  {
    name: 'base64.hpp',
    license: 'Unlicense',
    version: ofLlama,
    text: llama('common/base64.hpp'),
    comment: /This is free[^]*?(?=\*\/)/,
  },
  {
    name: 'llamafile-sgemm',
    license: 'MIT',
    version: ofLlama,
    text: llama('ggml/src/ggml-cpu/llamafile/sgemm.cpp'),
    comment: /\/\/ Copyright[^]*?SOFTWARE\.\n/,
  },
  {
    name: 'SQLite',
    license: 'blessing',
    version: () => readJson(inRoot('vendor/sqlite.json')).version,
    text: inRoot('vendor/sqlite/sqlite3.h'),
    comment: /The author disclaims[^]*?taking more than you give\./,
  },
  {
    name: 'node-addon-api',
    license: 'MIT',
    version: () => readJson(inRoot('node_modules/node-addon-api/package.json')).version,
    text: inRoot('node_modules/node-addon-api/LICENSE.md'),
  },
];

export function writeLicenses() {
  const pin = readJson(inRoot('vendor/llama.cpp.json'));
  const line = '='.repeat(80);
  const texts = thirdParties.map(
    (part) => `${line}\n${part.name}, ${part.version(pin)}\n${line}\n\n${termsOf(part)}\n`,
  );
  fs.writeFileSync(
    file,
    ['What is compiled into the binaries of llama-sessions, and its terms.\n', ...texts].join('\n'),
  );
  console.log(`${shown(file)}: ${thirdParties.length} parts`);
}

function termsOf({ name, text, comment }) {
  const content = fs.readFileSync(text, 'utf8');
  const terms = comment ? comment.exec(content)?.[0] : content;
  if (!terms) throw new Failure(`The licence of ${name} is not where it was: ${shown(text)}`);
  const bare = terms.split('\n').map((line) => line.replace(/^(\/\/ ?|\*\* ?|   )/, '').trimEnd());
  return bare.join('\n').trim();
}
