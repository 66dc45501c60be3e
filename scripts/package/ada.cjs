/** A chat with the recall model, by whichever llama-sessions this loadModel is of. @returns what it said; throws when that is wrong */
module.exports = async function ada(loadModel, file) {
  const model = await loadModel(file, { threads: 1, contextTokens: 2048, maxResident: 4 });
  const session = await model.createSession({ sampling: { temperature: 0 } });
  await session.send('My name is Ada.');
  const { text } = await session.send('What is my name?');
  await model.close();
  if (text !== 'Your name is Ada.') throw new Error(`It said: ${text}`);
  return text;
};
