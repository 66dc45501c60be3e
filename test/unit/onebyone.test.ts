import { expect, test } from 'vitest';
import { OneByOne } from '../../lib/onebyone.js';
import { refusal, within } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { tick } from '../support/turns.js';

test('what is to be done for one key is done in order, also after a failure; for another one at the same time', async () => {
  const work = new OneByOne();
  const gate = new Gate();
  gate.close();
  const events: string[] = [];
  const note = (key: string, name: string, fails = false): Promise<string> =>
    work.run(key, async () => {
      events.push(`${name} begins`);
      await gate.pass();
      events.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const [first, second, third] = [note('a', '1'), note('a', '2', true), note('a', '3')];
  const other = note('b', '4');
  await tick();
  expect(events).toEqual(['1 begins', '4 begins']);
  expect(['a', 'b', 'c'].map((key) => work.has(key))).toEqual([true, true, false]);
  gate.open();
  expect((await refusal('the second', () => second)).message).toBe('2');
  expect(await Promise.all([first, third, other])).toEqual(['1', '3', '4']);
  expect(events.filter((event) => !event.startsWith('4'))).toEqual(
    ['1', '2', '3'].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
  expect(['a', 'b'].map((key) => work.has(key))).toEqual([false, false]);
});

test('settled() waits for all of it, and for what is added meanwhile', async () => {
  const work = new OneByOne();
  let done = 0;
  const one = async (): Promise<void> => {
    await tick();
    done++;
  };
  void work.run('a', one);
  void work.run('b', () => one().then(() => void work.run('c', one)));
  await within('settled()', work.settled());
  expect(done).toBe(3);
  await within('settled()', work.settled());
});
