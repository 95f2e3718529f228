// A bot as its framework's users write them, which hands over to an agent desk like Engage Digital.
//
// `PRIMARY` says whose thread a new message is: `bot`, `ed`, or `none`, where the bot has to ask the platform for it.
// Without `ED_URL` there is no endpoint of the desk, and the bot passes control by itself.
'use strict';

const assert = require('node:assert/strict');

const { DESK, ED_TOKEN, ED_URL, PRIMARY = 'bot' } = process.env;

/** The messages that wait for control, and the customers whose thread the bot has, where nobody is primary. */
const waiting = new Map();
const granted = new Set();

/** Asks the desk to move control, and returns the status of its answer. */
const askDesk = async (context, from, to) => {
  const query = { access_token: ED_TOKEN, type: 'messenger', identity_foreign_id: context.session.user.id, from, to };
  if (to === 'bot') query.app_id = process.env.BOT;
  const answer = await fetch(`${ED_URL}/1.0/bots/handover?${new URLSearchParams(query)}`, { method: 'POST' });
  return answer.status;
};

const pass = async (context, target, metadata) => {
  granted.delete(context.session.user.id);
  await context.passThreadControl(Number(target), metadata);
};

const answer = async (context, text) => {
  if (text === 'menu') {
    await context.sendButtonTemplate('Choose.', [{ type: 'postback', title: 'Help', payload: 'HELP' }]);
    return;
  }
  if (text !== 'a person, please') {
    await context.sendText(`You said: ${text}`);
    return;
  }
  await context.sendText('One moment.');
  // 422: the desk can neither request control nor take it, so the bot passes it.
  const status = ED_URL ? await askDesk(context, 'bot', 'agent') : 422;
  if (status === 422) {
    await pass(context, DESK, 'wants a person');
  } else {
    assert.equal(status, 200);
  }
};

module.exports = async function App(context) {
  const { event } = context;
  const user = context.session.user.id;
  if (event.isRequestThreadControl) {
    await pass(context, event.requestThreadControl.requestedOwnerAppId, 'granted');
  } else if (event.isPassThreadControl) {
    granted.add(user);
    const text = waiting.get(user);
    waiting.delete(user);
    if (text) {
      await answer(context, text);
    } else {
      await context.sendText('The bot is back.');
    }
  } else if (event.isPayload && !event.isStandby) {
    await context.sendText(`You said: ${event.payload}`);
  } else if (event.isEcho || !event.isText) {
    return;
  } else if (event.isStandby) {
    // Refused while an agent has the conversation.
    if (PRIMARY === 'ed') {
      waiting.set(user, event.text);
      if ((await askDesk(context, 'agent', 'bot')) !== 200) waiting.delete(user);
    }
  } else if (PRIMARY === 'none' && !granted.has(user)) {
    waiting.set(user, event.text);
    await context.requestThreadControl('a customer wrote');
  } else {
    await answer(context, event.text);
  }
};
