/** npm run chat -- model.gguf: talks to a model in the terminal. `--help` lists the options. */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { LlamaError, loadModel } from 'llama-sessions';

const HELP = `npm run chat -- MODEL.gguf [options]

  --system TEXT      what the model is to be
  --temperature N    0 always takes the likeliest token (default 0.8)
  --seed N           the same seed, the same choices
  --max-tokens N     most tokens of a reply
  --context N        tokens of the KV pool (default: what memory allows)
  --threads N        compute threads (default: the physical cores)
  --store DIR        keep the session in this directory
  --session ID       its name; resumes it when it is there (default: chat)

Ctrl-C cancels the reply; Ctrl-D, or Ctrl-C again, ends. Each line of a piped input is a message.`;

const { stdin, stdout, stderr } = process;
const dim = (text) => (stderr.isTTY && !process.env.NO_COLOR ? `\x1b[2m${text}\x1b[0m` : text);
const note = (text) => stderr.write(dim(`${text}\n`));

function readArguments() {
  const text = { type: 'string' };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      system: text,
      temperature: text,
      seed: text,
      'max-tokens': text,
      context: text,
      threads: text,
      store: text,
      session: text,
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  if (positionals.length !== 1) throw new TypeError(`Name one model file.\n\n${HELP}`);
  if (values.session !== undefined && values.store === undefined) throw new TypeError('--session needs a --store DIR.');
  const number = (name) => (values[name] === undefined ? undefined : Number(values[name]));
  const sampling = { temperature: number('temperature'), seed: number('seed') };
  return {
    path: positionals[0],
    id: values.session ?? 'chat',
    load: { contextTokens: number('context'), threads: number('threads'), store: values.store },
    session: {
      system: values.system,
      // Left out when nothing is given: a session that is resumed then keeps its own.
      sampling: (values.temperature ?? values.seed) ? sampling : undefined,
      maxTokens: number('max-tokens'),
    },
  };
}

async function load(path, options) {
  const onProgress = (fraction) => stderr.write(`\r${dim(`Loading ${path}: ${Math.round(fraction * 100)} %`)}`);
  const model = await loadModel(path, stderr.isTTY ? { ...options, onProgress } : options);
  if (stderr.isTTY) stderr.write('\r\x1b[2K');
  note(`${model.info.description} on ${model.info.devices.join(', ')}`);
  return model;
}

async function openSession(model, id, options) {
  try {
    const session = await model.resumeSession(id, options);
    note(`Session '${id}' goes on after ${session.messages.length} messages.`);
    return session;
  } catch (error) {
    if (error.code !== 'SESSION_NOT_FOUND') throw error;
    return model.createSession({ id, ...options });
  }
}

async function answer(turn) {
  for await (const { kind, text } of turn) {
    if (kind === 'text') stdout.write(text);
    else stderr.write(dim(text));
  }
  const { finishReason, usage, timings } = await turn;
  const figures = [
    `${usage.generatedTokens} tokens, ${timings.tokensPerSecond.toFixed(1)} tokens/s`,
    `prompt ${usage.promptTokens} (${usage.cachedTokens} cached)`,
    `first token after ${timings.firstTokenMs.toFixed(0)} ms`,
  ];
  stdout.write('\n');
  note([...(finishReason === 'stop' ? [] : [finishReason]), ...figures].join(', '));
}

async function main() {
  const { path, id, load: loadOptions, session: sessionOptions } = readArguments();
  const model = await load(path, loadOptions);
  try {
    const session = await openSession(model, id, sessionOptions);
    const terminal = stdin.isTTY === true && stdout.isTTY === true;
    const lines = createInterface({ input: stdin, output: terminal ? stdout : undefined, terminal, prompt: '> ' });

    let prompting = terminal;
    lines.on('close', () => {
      if (prompting) session.cancel(); // Ctrl-D; the end of a pipe only means that nothing more is asked
      prompting = false;
    });
    let interrupted = false;
    const interrupt = () => {
      if (interrupted) lines.close();
      else if (session.state !== 'idle') session.cancel();
      else {
        note('\nCtrl-C again, or Ctrl-D, ends.');
        if (prompting) lines.prompt();
      }
      interrupted = true;
    };
    lines.on('SIGINT', interrupt); // a terminal in raw mode tells readline instead of the process
    process.on('SIGINT', interrupt);

    if (prompting) lines.prompt();
    for await (const line of lines) {
      interrupted = false;
      if (line.trim() !== '') await answer(session.send(line)).catch(report);
      if (prompting) lines.prompt();
    }
    if (terminal) stdout.write('\n');
    if (loadOptions.store !== undefined) await session.save();
  } finally {
    await model.close();
  }
}

/** What users can mend needs no stack. */
function report(error) {
  const known = error instanceof LlamaError || error instanceof TypeError || error instanceof RangeError;
  console.error(known ? error.message : error);
  process.exitCode = 1;
}

await main().catch(report);
