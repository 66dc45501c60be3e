// Makes vendor/sqlite exactly the files that vendor/sqlite.json pins: SQLite as one file, which better-sqlite3 carries on npm.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { inScratch, unpackFromNpm } from './fetch.mjs';
import { inRoot, megabytes, readJson, shown, sizeOf } from './files.mjs';
import { locked } from './lock.mjs';
import { Failure } from './process.mjs';
import { duration, progress } from './progress.mjs';

const folder = inRoot('vendor/sqlite');

export async function vendorSqlite({ quiet = false } = {}) {
  const pin = readJson(inRoot('vendor/sqlite.json'));
  const done = () => wrongFiles(folder, pin).length === 0;
  if (done()) {
    if (!quiet) console.log(`${shown(folder)} is ${pin.name} ${pin.version}: nothing to do.`);
    return;
  }
  await locked(async () => {
    if (!done()) await fetchFiles(pin); // another process may just have done it
  });
}

/** Those that are missing or not as pinned. */
function wrongFiles(where, { sha256 }) {
  return Object.keys(sha256).filter((name) => {
    const file = path.join(where, name);
    return !fs.existsSync(file) || createHash('sha256').update(fs.readFileSync(file)).digest('hex') !== sha256[name];
  });
}

async function fetchFiles(pin) {
  const started = Date.now();
  const line = progress(`Fetching ${pin.name} ${pin.version} · npm ${pin.npm.package}`);
  const files = Object.keys(pin.sha256).map((name) => `${pin.npm.folder}/${name}`);
  try {
    await inScratch(async (scratch) => {
      await unpackFromNpm(pin.npm.package, files, scratch, line);
      const fetched = path.join(scratch, 'package', pin.npm.folder);
      const wrong = wrongFiles(fetched, pin);
      if (wrong.length > 0)
        throw new Failure(`refused: ${wrong.join(', ')} of ${pin.npm.package} is not what vendor/sqlite.json pins`);
      fs.rmSync(folder, { recursive: true, force: true });
      fs.renameSync(fetched, folder);
    });
  } catch (error) {
    line.end('failed');
    throw error;
  }
  line.end();
  console.log(
    `${shown(folder)} is now ${pin.name} ${pin.version}, verified ` +
      `(npm ${pin.npm.package}, ${megabytes(sizeOf(folder))}, ${duration(Date.now() - started)}).`,
  );
}
