// A bot on botly: it answers, passes to the desk, and grants what the desk asks for.
'use strict';

const Botly = require('botly');
const bodyParser = require('body-parser');
const express = require('express');
const request = require('request');

const { SIM_URL, DESK, BOT_TOKEN, BOT_SECRET, VERIFY_TOKEN } = process.env;
const botly = new Botly({
  accessToken: BOT_TOKEN,
  verifyToken: VERIFY_TOKEN,
  webHookPath: '/webhook',
  FB_URL: `${SIM_URL}/v2.12/`,
});

/** Makes a promise of a call with a callback; an error in Graph's answer ends the bot. */
const called = (call) =>
  new Promise((resolve, reject) => {
    call((error, body) => (error || body?.error ? reject(error ?? new Error(JSON.stringify(body))) : resolve(body)));
  });
const say = (id, text) => called((done) => botly.sendText({ id, text }, done));
// The library reports a pass but has no call for it, so this is a call of its HTTP helper.
const pass = (id, target, metadata) => {
  const options = {
    url: `${botly.FB_URL}me/pass_thread_control`,
    qs: { access_token: botly.accessToken },
    json: true,
    body: { recipient: { id }, target_app_id: target, metadata },
  };
  return called((done) => request.post(options, (error, _response, body) => done(error, body)));
};

botly.on('message', async (id, _message, data) => {
  if (!data.text) return;
  await called((done) => botly.sendAction({ id, action: Botly.CONST.ACTION_TYPES.TYPING_ON }, done));
  if (data.text === 'menu') {
    const buttons = [botly.createPostbackButton('Help', 'HELP')];
    await called((done) => botly.sendButtons({ id, text: 'Choose.', buttons }, done));
  } else if (data.text === 'a person, please') {
    await say(id, 'One moment.');
    await pass(id, DESK, 'wants a person');
  } else {
    const person = await called((done) => botly.getUserProfile(id, done));
    if (!person.first_name) throw new Error(`no name in ${JSON.stringify(person)}`);
    await say(id, `You said: ${data.text}`);
  }
});
botly.on('postback', (id, _message, payload) => say(id, `You said: ${payload}`));
botly.on('passThreadControl', (id) => say(id, 'The bot is back.'));
botly.on('complete_message', (body) => {
  const events = body.entry.flatMap((entry) => entry.messaging ?? []);
  for (const { sender, request_thread_control: asked } of events) {
    if (asked) pass(sender.id, asked.requested_owner_app_id, 'granted');
  }
});
botly.on('error', (error) => {
  throw error;
});

const app = express();
app.use(bodyParser.json({ verify: botly.getVerifySignature(BOT_SECRET) }));
app.use(botly.router());
const listening = app.listen(0, '127.0.0.1', () => console.log(`listening on ${listening.address().port}`));
