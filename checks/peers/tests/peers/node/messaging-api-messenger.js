'use strict';

const { MessengerClient } = require('messaging-api-messenger');
const assert = require('node:assert/strict');
const { world, steer, handOver } = require('./common');

const side = (app, accessToken, appSecret) => {
  const client = new MessengerClient({ appId: app, accessToken, appSecret, version: '22.0', origin: world.SIM_URL });
  return {
    client,
    send: (text) => client.sendText(world.PSID, text),
    pass: (to, metadata) => client.passThreadControl(world.PSID, Number(to), metadata),
    take: (metadata) => client.takeThreadControl(world.PSID, metadata),
    request: (metadata) => client.requestThreadControl(world.PSID, metadata),
    owner: async () => (await client.getThreadOwner(world.PSID)).appId,
    receivers: () => client.getSecondaryReceivers(),
  };
};

(async () => {
  const bot = side(world.BOT, world.BOT_TOKEN, world.BOT_SECRET);
  const desk = side(world.DESK, world.DESK_TOKEN, world.DESK_SECRET);
  // It turns every key into camel case.
  const errorOf = (thrown) => {
    const { errorSubcode, fbtraceId, ...error } = thrown.response?.data?.error ?? {};
    return { ...error, error_subcode: errorSubcode, fbtrace_id: fbtraceId };
  };
  await handOver({ bot, desk, errorOf });

  // Its batches, and its pass to the inbox.
  const { MessengerBatch } = require('messaging-api-messenger');
  const answers = await bot.client.sendBatch([
    MessengerBatch.sendText(world.PSID, 'in a batch'),
    MessengerBatch.getThreadOwner(world.PSID),
  ]);
  assert.deepEqual(answers.map((answer) => answer.code), [200, 200]);
  await bot.client.passThreadControlToPageInbox(world.PSID, 'to people');
  assert.equal((await steer('GET', `threads/${world.PAGE}/${world.PSID}`)).owner, '263902037430900');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
