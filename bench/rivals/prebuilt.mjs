/** llama-sessions with the binary that npm brings, also where one was compiled. */
import { open as openOurs } from './ours.mjs';

/** @typedef {import('../contestant.mjs').OpenOptions} OpenOptions */

/** @param {OpenOptions} options */
export function open(options) {
  process.env.PREBUILDS_ONLY = '1'; // node-gyp-build looks at it when it is loaded, which the first model does
  return openOurs(options);
}
