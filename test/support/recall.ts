/** Speaking with the recall model (test/fixtures/README.md) as a user would. */
import { fileURLToPath } from 'node:url';

export const RECALL: string = fileURLToPath(new URL('../fixtures/recall.gguf', import.meta.url));

const FIRST = ['Ba', 'Dro', 'Ke', 'Lu', 'Mo', 'Ni', 'Ra', 'Vo'];
const SECOND = ['bela', 'dai', 'gu', 'kro', 'lin', 'mar', 'so', 'tee'];

/** 64 names, all different, of syllables that the model knows. */
export const NAMES: readonly string[] = FIRST.flatMap((first) => SECOND.map((second) => first + second));

/** A number of four digits for each name, all different. */
export function codeOf(index: number): string {
  return String(1009 + index * 137);
}
