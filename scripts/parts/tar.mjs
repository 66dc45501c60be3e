// Archives of files, written here because the tar of macOS and Windows can't leave out times and owners. The same files give the
// same bytes on every system: POSIX's ustar, in the order given, with no times, no owners, and one mode for all.
import fs from 'node:fs';
import path from 'node:path';
import { Failure } from './process.mjs';

const block = 512;
const record = 20 * block; // an archive is a multiple of it
const longestName = 100;

/**
 * @param {string} folder
 * @param {string[]} files below it, with / between the parts of a name
 * @returns {Buffer}
 */
export function tarOf(folder, files) {
  const parts = files.flatMap((name) => {
    const content = fs.readFileSync(path.join(folder, name));
    return [header(name, content.length), content, padding(content.length, block)];
  });
  const ended = Buffer.concat([...parts, Buffer.alloc(2 * block)]);
  return Buffer.concat([ended, padding(ended.length, record)]);
}

const padding = (length, unit) => Buffer.alloc((unit - (length % unit)) % unit);

function header(name, size) {
  if (Buffer.byteLength(name) > longestName) throw new Failure(`The name is too long for an archive: ${name}`);
  const bytes = Buffer.alloc(block);
  const octal = (value, digits) => `${value.toString(8).padStart(digits, '0')}\0`;
  bytes.write(name, 0);
  bytes.write(octal(0o644, 7), 100);
  bytes.write(octal(0, 7), 108); // owner
  bytes.write(octal(0, 7), 116); // group
  bytes.write(octal(size, 11), 124);
  bytes.write(octal(0, 11), 136); // seconds since 1970
  bytes.write(' '.repeat(8), 148); // what the checksum counts in its own place
  bytes.write('0', 156); // a file
  bytes.write('ustar\0' + '00', 257);
  bytes.write(octal(0, 7), 329); // numbers of a device
  bytes.write(octal(0, 7), 337);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${octal(sum, 6)} `, 148);
  return bytes;
}
