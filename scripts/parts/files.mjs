// Where things are, and which of two things is newer.
import fs from 'node:fs';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
export const inRoot = (...parts) => path.join(root, ...parts);

/** A path as the user would type it from the root. */
export const shown = (file) => path.relative(root, file) || '.';

export const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

/** Modification time in ms; 0: there is no such file. */
export const modified = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The newest modification time below the paths, folders included: a deleted file changes only its folder. */
export function newest(...paths) {
  let latest = 0;
  for (const file of paths) {
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (!stat) continue;
    latest = Math.max(latest, stat.mtimeMs);
    if (!stat.isDirectory()) continue;
    latest = Math.max(latest, newest(...fs.readdirSync(file).map((name) => path.join(file, name))));
  }
  return latest;
}

/**
 * Marks a product as made from what the sources were at `started` (ms). The product's own time would not do: a build
 * tool leaves it alone when nothing in it changes, and a source edited during the build would count as built.
 */
export function stamp(file, started, content = '') {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  fs.utimesSync(file, started / 1000, started / 1000);
}

/** Bytes of all files below a folder. */
export function sizeOf(folder) {
  const entries = fs.readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return entries.reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
}

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
