// npm's `prepack`: what the published package holds beside what is in git. Not for a dependency from git, which fetches
// its sources itself.
import { writeLicenses } from './parts/licenses.mjs';
import { packSources } from './parts/sources.mjs';
import { entry } from './parts/process.mjs';
import { vendor } from './vendor.mjs';

await entry(import.meta, async () => {
  if (process.env._PACOTE_NO_PREPARE_ !== undefined) return;
  await vendor({ edits: 'refuse', quiet: true });
  await packSources();
  writeLicenses();
});
