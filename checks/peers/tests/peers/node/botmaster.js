// A bot on botmaster: it answers, passes to the desk, and grants what the desk asks for.
'use strict';

// Otherwise express prints each standby event that the library cannot read.
process.env.NODE_ENV = 'test';
require('./graph-elsewhere');
const http = require('node:http');
const Botmaster = require('botmaster');
const MessengerBot = require('botmaster-messenger');
const request = require('request-promise');

const { DESK, BOT_TOKEN, BOT_SECRET, VERIFY_TOKEN } = process.env;
const server = http.createServer();
const botmaster = new Botmaster({ server });
botmaster.addBot(
  new MessengerBot({
    credentials: { verifyToken: VERIFY_TOKEN, pageToken: BOT_TOKEN, fbAppSecret: BOT_SECRET },
    webhookEndpoint: 'webhook',
  })
);

// The library has no call of thread control, so this is a call of its HTTP helper.
const pass = (id, target, metadata) =>
  request({
    method: 'POST',
    uri: 'https://graph.facebook.com/v2.11/me/pass_thread_control',
    qs: { access_token: BOT_TOKEN },
    json: { recipient: { id }, target_app_id: target, metadata },
  });

botmaster.use({
  type: 'incoming',
  name: 'everything',
  controller: async (bot, update) => {
    const { sender, message } = update;
    if (update.request_thread_control) {
      await pass(sender.id, update.request_thread_control.requested_owner_app_id, 'granted');
    } else if (update.pass_thread_control) {
      await bot.reply(update, 'The bot is back.');
    } else if (message?.text === 'a person, please') {
      await bot.reply(update, 'One moment.');
      await pass(sender.id, DESK, 'wants a person');
    } else if (message?.text === 'menu') {
      await bot.sendDefaultButtonMessageTo(['Help'], 'Choose.', sender.id);
    } else if (update.postback ?? message?.quick_reply) {
      await bot.reply(update, `You said: ${(update.postback ?? message.quick_reply).payload}`);
    } else if (message?.text) {
      await bot.sendIsTypingMessageTo(sender.id);
      const person = await bot.getUserInfo(sender.id);
      if (!person.first_name) throw new Error(`no name in ${JSON.stringify(person)}`);
      await bot.reply(update, `You said: ${message.text}`);
    }
  },
});
botmaster.on('error', (_bot, error) => {
  throw error instanceof Error ? error : new Error(error);
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
