// Botkit, whose bot does nothing about a message and keeps its state in `STORE`: memory or redis. Prints its port.
'use strict';

const { FacebookAdapter, FacebookEventTypeMiddleware } = require('botbuilder-adapter-facebook');
const { RedisDbStorage } = require('botbuilder-storage-redis');
const { Botkit } = require('botkit');
const { createClient } = require('redis');

const { STORE, REDIS_URL, GRAPH, SECRET } = process.env;

const main = async () => {
  let storage;
  if (STORE === 'redis') {
    const client = createClient({ url: REDIS_URL });
    await client.connect();
    storage = new RedisDbStorage(client);
  }
  const adapter = new FacebookAdapter({
    verify_token: 'verify',
    access_token: 'token',
    app_secret: SECRET,
    api_host: new URL(GRAPH).host,
  });
  adapter.use(new FacebookEventTypeMiddleware());
  process.env.PORT = '0';
  const controller = new Botkit({ adapter, storage, webhook_uri: '/', disable_console: true });
  controller.ready(() => {
    controller.on('message', async () => {});
    const tell = () => console.log(controller.http.address().port);
    if (controller.http.listening) tell();
    else controller.http.on('listening', tell);
  });
};

main();
process.stdin.on('close', () => process.exit()).resume();
