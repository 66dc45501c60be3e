/** What a build asks for before it begins (scripts/parts/tools.mjs). */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { requireTools } from '../../scripts/parts/tools.mjs';

// Windows' compilers are never on PATH: there CMake looks for them.
describe.skipIf(process.platform === 'win32')('with no compiler on PATH', () => {
  beforeEach(() => {
    vi.stubEnv('PATH', '/nowhere');
    vi.stubEnv('CC', undefined);
    vi.stubEnv('CXX', undefined);
  });
  afterEach(() => vi.unstubAllEnvs());

  test('one that CC and CXX name will do', async () => {
    vi.stubEnv('CC', '/opt/gcc/bin/gcc');
    vi.stubEnv('CXX', '/opt/gcc/bin/g++');
    await requireTools('compiler');
  });

  test.each([{}, { CXX: 'clang++-16' }, { CC: 'clang-16' }, { CC: 'clang-16', CXX: '' }])(
    'the environment %j is refused, which names not both',
    async (named) => {
      for (const [name, value] of Object.entries(named)) vi.stubEnv(name, value);
      await expect(requireTools('compiler')).rejects.toThrow('CC and CXX');
    },
  );
});
