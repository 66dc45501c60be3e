/** What the bench says: results on stdout, progress on stderr. */

/** @typedef {Record<string, string | number | boolean | null>} Row */

/** @param {Row[]} rows */
export function table(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '-')))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  return cells.map((line) => line.map((cell, i) => cell.padStart(widths[i])).join('   ')).join('\n');
}

/** One line that is overwritten, or nothing where nobody watches. @param {string} text */
export function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\x1b[K`);
}

export const endProgress = () => progress('');
