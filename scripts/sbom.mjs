// node scripts/sbom.mjs > sbom.spdx.json: what the binaries in prebuilds/ are made of, and their hashes, as SPDX 2.3. npm knows
// the packages (`npm sbom`), but not what is compiled in. The same input gives the same bytes.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { inRoot, readJson } from './parts/files.mjs';
import { thirdParties } from './parts/licenses.mjs';
import { entry } from './parts/process.mjs';

const id = (name) => `SPDXRef-${name.replace(/[^A-Za-z0-9.]+/g, '-')}`;

function binaries() {
  const folder = inRoot('prebuilds');
  const files = fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true }) : [];
  return files
    .filter((name) => /\.(node|so|dylib|dll)$/.test(name))
    .sort()
    .map((name) => ({
      name: `prebuilds/${name.replaceAll('\\', '/')}`,
      bytes: fs.readFileSync(path.join(folder, name)),
    }));
}

export function sbom() {
  const { name, version, license } = readJson(inRoot('package.json'));
  const pin = readJson(inRoot('vendor/llama.cpp.json'));
  const own = {
    SPDXID: id(name),
    name,
    versionInfo: version,
    licenseDeclared: license,
    downloadLocation: 'NOASSERTION',
  };
  const parts = thirdParties.map((part) => ({
    SPDXID: id(part.name),
    name: part.name,
    versionInfo: part.version(pin),
    licenseDeclared: part.license,
    downloadLocation: part.name === 'llama.cpp' ? `git+${pin.git.url}@${pin.version}` : 'NOASSERTION',
  }));
  const files = binaries().map(({ name, bytes }) => ({
    SPDXID: id(name),
    fileName: `./${name}`,
    checksums: ['sha1', 'sha256'].map((algorithm) => ({
      algorithm: algorithm.toUpperCase(),
      checksumValue: createHash(algorithm).update(bytes).digest('hex'),
    })),
  }));
  const related = (relationshipType, elements) =>
    elements.map(({ SPDXID }) => ({ spdxElementId: own.SPDXID, relationshipType, relatedSpdxElement: SPDXID }));
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${name}-${version}`,
    documentNamespace: `https://www.npmjs.com/package/${name}/v/${version}#${pin.tree}`,
    // SPDX wants a time; that of the build would make each run's bytes differ.
    creationInfo: { created: '1970-01-01T00:00:00Z', creators: [`Tool: ${name}-scripts/sbom.mjs`] },
    packages: [own, ...parts].map((part) => ({ filesAnalyzed: false, licenseConcluded: 'NOASSERTION', ...part })),
    files,
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: own.SPDXID },
      ...related('CONTAINS', files),
      ...related('STATIC_LINK', parts),
    ],
  };
}

await entry(import.meta, () => console.log(JSON.stringify(sbom(), null, 2)));
