// MODEL=model.gguf npm start
// A session per user, streamed as text; it goes on where it was after a restart. In earnest the user comes from a login.
//
//   curl -N -H 'content-type: text/plain' -d 'My name is Ada.' http://localhost:3000/chat/ada
import express from 'express';
import { LlamaError, loadModel } from 'llama-sessions';

const statuses = { QUEUE_FULL: 503, CONTEXT_FULL: 413, SESSION_CONFLICT: 409 };

const model = await loadModel(process.env.MODEL ?? 'model.gguf', {
  store: process.env.STORE ?? './sessions',
  ...(process.env.THREADS && { threads: Number(process.env.THREADS) }),
});
const sessions = new Map(); // user → promise of the session; one that nobody holds would be closed

function sessionOf(user) {
  if (!sessions.has(user)) {
    const opened = open(user);
    sessions.set(user, opened);
    opened.catch(() => sessions.delete(user));
  }
  return sessions.get(user);
}

async function open(user) {
  const session = await model.resumeSession(user).catch((error) => {
    if (error.code !== 'SESSION_NOT_FOUND') throw error;
    return model.createSession({ id: user, maxTokens: 500, sampling: { temperature: 0 } });
  });
  // Expired, deleted, or taken over by another process: the next request opens it anew.
  session.on('state', ({ to }) => to === 'closed' && sessions.delete(user));
  return session;
}

const app = express();

app.post('/chat/:user', express.text({ limit: '1mb' }), async (request, response) => {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const turn = (await sessionOf(request.params.user)).send(request.body, { signal: gone.signal });
  response.type('text/plain');
  for await (const { kind, text } of turn) if (kind === 'text') response.write(text);
  response.end();
});

app.get('/stats', (_request, response) => {
  response.json(model.stats());
});

// Express 5 brings rejections here. It takes all four parameters to be an error handler.
app.use((error, _request, response, _next) => {
  if (response.headersSent) return response.destroy(); // half a reply must not look like a whole one
  const status = error instanceof LlamaError ? (statuses[error.code] ?? 500) : (error.status ?? 400);
  response.status(status).type('text/plain').send(error.message);
});

const server = app.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`http://localhost:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  server.close();
  await model.close().catch(console.error); // ends the turns; all sessions are saved, their KV too
  process.exit();
});
