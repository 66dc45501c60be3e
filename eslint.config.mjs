import tseslint from 'typescript-eslint';

/**
 * The house of lib/, from the ground up: a file imports values only from its own floor and those below. What is not
 * named here is on the ground floor. Types may come from anywhere: they are gone at run time.
 */
const floors = [
  ['binding', 'queue', 'stores/.*'],
  ['engine', 'backends', 'host', 'residency', 'exportfile', 'keeping'],
  ['turn', 'generation', 'conversation', 'session', 'opening', 'model'],
  ['load', 'facts', 'doctor', 'index'],
  ['server(/.*)?', 'cli(/.*)?'],
];

const filesOf = (names) =>
  names.flatMap((name) => [
    `lib/${name.replace(/\(.*|\/\.\*/, '')}.ts`,
    `lib/${name.replace(/\(.*|\/\.\*/, '')}/**/*.ts`,
  ]);
const relative = (names) => `^\\.\\.?/(\\.\\./)*(${names.join('|')})\\.js$`;
const forbid = (regex, message) => ({ regex, message, allowTypeImports: true });

const promisedFiles = forbid('^(node:)?fs/promises$', 'lib/disk.ts says why.');
const addonLoaders = forbid('^(node-gyp-build|(node:)?module)$', 'Only lib/binding.ts loads the addon.');

function floor(files, forbidden, more = []) {
  const upstairs =
    forbidden.length > 0 ? [forbid(relative(forbidden), 'Imports go one way: see ARCHITECTURE.md.')] : [];
  const patterns = [...upstairs, promisedFiles, ...more];
  return { files, rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] } };
}

const house = [
  floor(['lib/**/*.ts'], floors.flat(), [addonLoaders]),
  ...floors.slice(0, -1).map((names, i) => floor(filesOf(names), floors.slice(i + 1).flat(), [addonLoaders])),
  floor(['lib/stores/**/*.ts'], ['queue', ...floors.slice(1).flat()], [addonLoaders]),
  floor(
    filesOf(floors.at(-1)),
    [],
    [
      addonLoaders,
      forbid('^\\./(?!index\\.js$)(?!server/|cli/)|^\\.\\./(?!index\\.js$)', 'A sub-entry uses only the public index.'),
    ],
  ),
  floor(['lib/binding.ts'], floors.slice(1).flat()),
];

const nodeGlobals = Object.fromEntries(
  [
    'AbortController',
    'AbortSignal',
    'Buffer',
    'clearInterval',
    'clearTimeout',
    'console',
    'fetch',
    'performance',
    'process',
  ]
    .concat([
      'queueMicrotask',
      'setImmediate',
      'setInterval',
      'setTimeout',
      'structuredClone',
      'TextDecoder',
      'TextEncoder',
      'URL',
    ])
    .map((name) => [name, 'readonly']),
);

export default tseslint.config(
  {
    ignores: ['build/', 'dist/', 'dist.next/', 'docs/', 'prebuilds/', 'vendor/', '**/node_modules/', 'test/fixtures/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['{lib,test,bench}/**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // What fails here fails the test, and that is enough.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [tseslint.configs.strict],
    languageOptions: { globals: nodeGlobals },
    rules: { 'no-undef': 'error' },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs', globals: { require: 'readonly' } },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  {
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'max-lines': ['error', 300],
      'no-sequences': 'error',
    },
  },
  {
    files: ['lib/**/*.ts'],
    ignores: ['lib/binding.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'MemberExpression[property.name=dlopen]', message: 'Only lib/binding.ts loads the addon.' },
      ],
    },
  },
  ...house,
);
