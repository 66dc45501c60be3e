/** What the bench says: results on stdout, progress on stderr. */

/** @typedef {Record<string, string | number | boolean | null>} Row */

/** @param {Row[]} rows */
export function table(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '-')))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  return cells.map((line) => line.map((cell, i) => cell.padStart(widths[i])).join('   ')).join('\n');
}

let last = { kind: '', at: 0 };

/** One line that is overwritten. Where nobody watches, lines: those that differ in numbers only are one in ten seconds. @param {string} text */
export function progress(text) {
  if (process.stderr.isTTY) return void process.stderr.write(`\r${text}\x1b[K`);
  const [kind, at] = [text.replaceAll(/\d+/g, ''), performance.now()];
  if (!text || (kind === last.kind && at - last.at < 10_000)) return;
  last = { kind, at };
  process.stderr.write(`${new Date().toTimeString().slice(0, 8)} ${text}\n`);
}

export const endProgress = () => progress('');
