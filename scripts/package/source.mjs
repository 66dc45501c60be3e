// A check that compiles: the packed sources are enough.
import fs from 'node:fs';
import path from 'node:path';
import { answers, doctor, npmInstall, place, succeed } from './place.mjs';

export const checks = {
  async 'compiled from the packed file, without git'({ tarball }) {
    const folder = place('source build');
    await npmInstall(folder, [tarball], { flags: ['--ignore-scripts'] });
    const own = path.join(folder, 'node_modules/llama-sessions');
    fs.rmSync(path.join(own, 'prebuilds'), { recursive: true });
    const bin = withoutGit(folder);
    await succeed(process.execPath, [path.join(own, 'scripts/llama-sessions.mjs'), 'build'], {
      cwd: folder,
      env: { PATH: bin },
      timeout: 1_800_000,
    });
    await answers(folder);
    if (!/compiled here/.test(await doctor(folder))) throw new Error('the doctor sees no addon that was compiled here');
    return 'answers';
  },
};

/** A PATH with what a build takes, and not git. */
function withoutGit(folder) {
  const bin = path.join(folder, 'bin');
  fs.mkdirSync(bin);
  for (const source of (process.env.PATH ?? '').split(path.delimiter).filter((name) => fs.existsSync(name))) {
    for (const name of fs.readdirSync(source)) {
      if (name === 'git' || fs.existsSync(path.join(bin, name))) continue;
      fs.symlinkSync(path.join(source, name), path.join(bin, name));
    }
  }
  return bin;
}
