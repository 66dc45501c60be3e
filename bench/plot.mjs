/** Line plots as SVG, light: one file each, no script, readable on white and on black. */

/**
 * @typedef {object} Plot
 * @property {string} title
 * @property {string} x what the axis shows
 * @property {string} y
 * @property {boolean} [logarithmic] the x axis; with a 0 it begins at 1
 * @property {Series[]} series
 *
 * @typedef {{ name: string, points: [number, number][], dashed?: boolean }} Series
 */

const [WIDTH, HEIGHT] = [720, 400];
const BOX = { left: 64, right: 540, top: 50, bottom: 350 };
const COLOURS = ['#2f81f7', '#d9730d', '#3fa55b', '#a371f7', '#d1495b', '#8a8a8a'];
const STYLE =
  'text{font:13px system-ui,sans-serif;fill:#57606a}.t{font-weight:600;font-size:15px}.g{stroke:#8884;stroke-width:1}' +
  '@media(prefers-color-scheme:dark){text{fill:#a9b1ba}}';

/** @param {Plot} plot @returns {string} */
export function linePlot({ title, x, y, logarithmic = false, series }) {
  const points = series.flatMap((one) => one.points);
  const scale = logarithmic ? (/** @type {number} */ value) => Math.log2(Math.max(1, value)) : Number;
  const across = axis(
    points.map(([at]) => scale(at)),
    BOX.left,
    BOX.right,
    false,
  );
  const up = axis(
    points.map(([, value]) => value),
    BOX.bottom,
    BOX.top,
    true,
  );
  const body = [
    text(BOX.left, 20, title, 'start', 't'),
    text((BOX.left + BOX.right) / 2, HEIGHT - 12, x),
    text(BOX.left, BOX.top - 8, y, 'start'),
    ...ticks(up.most).map((value) => {
      const at = up.place(value);
      return `<path class="g" d="M${BOX.left} ${at}H${BOX.right}"/>${text(BOX.left - 8, at + 4, short(value), 'end')}`;
    }),
    ...[...new Set(points.map(([at]) => at))].map((at) => text(across.place(scale(at)), BOX.bottom + 20, short(at))),
    ...series.map((one, i) => line(one, COLOURS[i % COLOURS.length], (at) => across.place(scale(at)), up.place)),
    ...series.map(({ name }, i) => legend(name, COLOURS[i % COLOURS.length], BOX.top + 20 + 22 * i)),
  ];
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">`;
  return `${head}<title>${escaped(title)}</title><style>${STYLE}</style>\n${body.join('\n')}\n</svg>\n`;
}

/**
 * @param {number[]} values
 * @param {number} from pixels
 * @param {number} to
 * @param {boolean} fromZero
 */
function axis(values, from, to, fromZero) {
  const least = fromZero ? 0 : Math.min(...values);
  const most = Math.max(...values) * (fromZero ? 1.05 : 1);
  const place = (/** @type {number} */ value) =>
    Math.round((from + ((value - least) / (most - least || 1)) * (to - from)) * 10) / 10;
  return { most, place };
}

/** Round numbers from 0 on, four to ten of them. @param {number} most */
function ticks(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  const step = [0.1, 0.2, 0.5, 1].map((part) => part * power).find((part) => most / part <= 10) ?? power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

/** @param {Series} series @param {string} colour @param {(at: number) => number} across @param {(value: number) => number} up */
function line({ points, dashed }, colour, across, up) {
  const places = [...points].sort(([a], [b]) => a - b).map(([at, value]) => `${across(at)} ${up(value)}`);
  const dots = places.map((place) => `<circle cx="${place.replace(' ', '" cy="')}" r="3" fill="${colour}"/>`);
  const dashes = dashed ? ' stroke-dasharray="5 4"' : '';
  return `<path d="M${places.join('L')}" fill="none" stroke="${colour}" stroke-width="2"${dashes}/>${dots.join('')}`;
}

/** @param {string} name @param {string} colour @param {number} at */
const legend = (name, colour, at) =>
  `<path d="M${BOX.right + 20} ${at}h18" stroke="${colour}" stroke-width="3"/>${text(BOX.right + 46, at + 4, name, 'start')}`;

/** @param {number} x @param {number} y @param {string} content @param {string} [anchor] @param {string} [style] */
const text = (x, y, content, anchor = 'middle', style = '') =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}"${style && ` class="${style}"`}>${escaped(content)}</text>`;

/** @param {number} value */
const short = (value) => (value >= 10_000 ? `${value / 1000}k` : String(Number(value.toPrecision(3))));

/** @param {string} content */
const escaped = (content) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
