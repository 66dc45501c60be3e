// One line that says what is going on: rewritten in place on a terminal, written anew now and then into a pipe.
const lineEveryMs = 10_000;

export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/** @returns {{update(text: string): void, end(text?: string): void}} */
export function progress(title, out = process.stdout) {
  const started = Date.now();
  let text = '';
  let written = started;
  const line = () => [title, duration(Date.now() - started), text].filter(Boolean).join(' · ');

  function write() {
    if (out.isTTY) {
      out.write(`\r\x1b[K${line().slice(0, (out.columns || 80) - 1)}`);
    } else if (Date.now() - written >= lineEveryMs) {
      written = Date.now();
      out.write(`${line()}\n`);
    }
  }

  const timer = setInterval(write, 1000);
  timer.unref();
  return {
    update(newText) {
      text = newText;
      if (out.isTTY) write();
    },
    /** With no text the line vanishes: there was nothing to tell. */
    end(lastText) {
      clearInterval(timer);
      if (out.isTTY) out.write('\r\x1b[K');
      if (lastText) out.write(`${title} · ${duration(Date.now() - started)} · ${lastText}\n`);
    },
  };
}
