// What both clients go through: a handover from the bot to the desk and back, with the refusals on the way.
'use strict';

const assert = require('node:assert/strict');

const world = Object.fromEntries(
  ['SIM_URL', 'PAGE', 'PSID', 'BOT', 'DESK', 'BOT_TOKEN', 'DESK_TOKEN', 'BOT_SECRET', 'DESK_SECRET'].map((name) => {
    assert(process.env[name], `${name} is missing`);
    return [name, process.env[name]];
  })
);

const steer = async (method, path, body) => {
  const answer = await fetch(`${world.SIM_URL}/_sim/${path}`, { method, body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200, `${method} ${path}: ${await answer.clone().text()}`);
  return answer.json();
};
const thread = () => steer('GET', `threads/${world.PAGE}/${world.PSID}`);
const owner = async () => (await thread()).owner;
const customerWrites = (text) => steer('POST', `pages/${world.PAGE}/people/${world.PSID}/messages`, { text });

/** The Graph error of a call that must be refused, out of whatever the package throws. */
const refusal = async (call, errorOf) => {
  try {
    await call();
  } catch (thrown) {
    const error = errorOf(thrown);
    assert(error && error.code, `no Graph error in ${thrown}`);
    return error;
  }
  throw new Error('it was not refused');
};

/** `bot` and `desk`: send, pass, take, request, release (where there is one), owner, receivers (likewise). */
const handOver = async ({ bot, desk, errorOf }) => {
  await customerWrites('hello');
  assert.equal(await owner(), world.BOT);
  await bot.send('At your service.');
  const refused = await refusal(() => desk.send('I am a person.'), errorOf);
  assert.equal(refused.code, 10);
  assert.equal(refused.error_subcode, 2018300);
  assert.match(refused.message, /another app is controlling this thread/);
  assert.match(refused.fbtrace_id, /./);

  await desk.request('a person wants to answer');
  assert.equal(await owner(), world.BOT, 'a request that succeeded is no grant');
  assert.equal(String(await bot.owner()), world.BOT);
  await bot.pass(world.DESK, 'over to you');
  assert.equal(await owner(), world.DESK);
  await desk.send('I am a person.');
  assert.equal((await refusal(() => bot.pass(world.DESK, ''), errorOf)).code, 100);

  await bot.take('back to the bot');
  assert.equal(await owner(), world.BOT);
  if (bot.receivers) {
    const receivers = (await bot.receivers()).map((receiver) => String(receiver.id));
    assert(receivers.includes(world.DESK), receivers);
  }
  if (bot.release) {
    await bot.release();
    assert.equal(await owner(), null);
  }
  const read = (await thread()).messages.map((message) => message.text);
  assert.deepEqual(read, ['hello', 'At your service.', 'I am a person.']);
};

module.exports = { world, steer, handOver };
