// Checks of installations that are not whole: the error says what to do, and the doctor too.
import fs from 'node:fs';
import path from 'node:path';
import { readJson } from '../parts/files.mjs';
import { answers, doctor, npmInstall, NotHere, place } from './place.mjs';

/** Installs, breaks it, and compares what is said with what should be. */
async function broken(name, { tarball }, breakIt, ...expected) {
  const folder = place(`broken-${name}`);
  await npmInstall(folder, [tarball], { flags: ['--ignore-scripts'] });
  const own = path.join(folder, 'node_modules/llama-sessions');
  breakIt(own, path.join(own, 'prebuilds', `${process.platform}-${process.arch}`));
  const failed = (work) =>
    work.then(
      () => '',
      (error) => error.message,
    );
  const said = `${await failed(answers(folder))}\n${await failed(doctor(folder))}`;
  const missing = ['BINDING_NOT_FOUND', ...expected].filter((text) => !said.includes(text));
  if (missing.length > 0) throw new Error(`not said: ${missing.join(', ')}\n${said}`);
  return 'BINDING_NOT_FOUND, remedy, doctor';
}

export const checks = {
  'no binary': (state) =>
    broken(
      'none',
      state,
      (own) => fs.rmSync(path.join(own, 'prebuilds'), { recursive: true }),
      'npx llama-sessions doctor',
      `There is no prebuilt addon for ${process.platform}-${process.arch} in this package; compile it here: npx llama-sessions build`,
    ),

  'no CPU module': (state) =>
    broken(
      'cpu',
      state,
      (_, prebuilds) => {
        for (const file of fs.readdirSync(prebuilds)) if (/ggml-cpu/.test(file)) fs.rmSync(path.join(prebuilds, file));
      },
      'No CPU module in',
      'Delete node_modules and install again',
    ),

  'an addon of another version': (state) =>
    broken(
      'package',
      state,
      (own) => {
        const file = path.join(own, 'package.json');
        fs.writeFileSync(file, JSON.stringify({ ...readJson(file), version: '99.0.0' }));
      },
      'of this package, which is 99.0.0',
      'Files of two versions are mixed',
    ),

  'a ggml of another version': (state) =>
    broken(
      'ggml',
      state,
      (own, prebuilds) => {
        const tree = readJson(path.join(own, 'vendor/llama.cpp.json')).tree.slice(0, 8);
        const name = fs.readdirSync(prebuilds).find((file) => file.includes('ggml-base'));
        if (name === undefined) throw new NotHere('ggml is inside the addon');
        const bytes = fs.readFileSync(path.join(prebuilds, name));
        bytes.write('00000000', bytes.indexOf(`\0${tree}\0`) + 1);
        fs.writeFileSync(path.join(prebuilds, name), bytes);
      },
      'is of 00000000',
      'files of two versions are mixed',
    ),
};
