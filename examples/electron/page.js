/* global chat, document, form, talk, text */
const write = (words) => talk.append(document.createTextNode(words));

chat.onPiece(write);
chat.history().then((messages) => {
  for (const { role, content } of messages) write(role === 'user' ? `> ${content}\n` : `${content}\n\n`);
});
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const said = text.value;
  text.value = '';
  write(`> ${said}\n`);
  try {
    await chat.send(said);
  } catch (error) {
    write(error.message); // of a LlamaError: what happened, and what to do
  }
  write('\n\n');
});
