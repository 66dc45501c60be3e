/* global chat, document, form, talk, text */
const write = (words) => talk.append(document.createTextNode(words));

chat.onPiece(write);
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const said = text.value;
  text.value = '';
  write(`> ${said}\n`);
  await chat.send(said);
  write('\n\n');
});
