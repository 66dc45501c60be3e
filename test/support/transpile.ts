import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** Writes lib/ as JavaScript into a folder, so that processes without vitest can run it. Types are not checked. */
export async function transpileLib(folder: string): Promise<void> {
  const lib = join(import.meta.dirname, '../../lib');
  await writeFile(await target(folder, 'package.json'), '{"type":"module"}');
  await symlink(join(lib, '../node_modules'), join(folder, 'node_modules'), 'junction');
  for (const name of await readdir(lib, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const source = await readFile(join(lib, name), 'utf8');
    const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
    const { outputText } = ts.transpileModule(source, { compilerOptions: options });
    await writeFile(await target(folder, name.replace(/\.ts$/, '.js')), outputText);
  }
}

async function target(folder: string, name: string): Promise<string> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  return join(folder, name);
}
