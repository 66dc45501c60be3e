/** When npm's install compiles although a binary fits (scripts/install.mjs). */
import { expect, test } from 'vitest';
import { isForced } from '../../scripts/install.mjs';

test.each([
  'true',
  '1',
  'True',
  'llama-sessions',
  'sharp,llama-sessions',
  'sharp, llama-sessions',
  'sharp\n\nllama-sessions',
])('a build from source is forced by %j', (value) => {
  expect(isForced({ npm_config_build_from_source: value })).toBe(true);
  expect(isForced({ LLAMA_SESSIONS_BUILD_FROM_SOURCE: value })).toBe(true);
});

test.each(['', 'false', '0', 'sharp', 'sharp,canvas', 'llama-sessions-cuda-linux-x64', 'null'])(
  'a build from source is not forced by %j',
  (value) => {
    expect(isForced({ npm_config_build_from_source: value })).toBe(false);
    expect(isForced({ LLAMA_SESSIONS_BUILD_FROM_SOURCE: value })).toBe(false);
  },
);

test('a build from source is forced by either of the two, and not by neither', () => {
  expect(isForced({ npm_config_build_from_source: 'sharp', LLAMA_SESSIONS_BUILD_FROM_SOURCE: '1' })).toBe(true);
  expect(isForced({})).toBe(false);
});
