'use strict';

const { initializeServer } = require('bottender');

const { SIM_URL, BOT, BOT_TOKEN, BOT_SECRET, PAGE, VERIFY_TOKEN } = process.env;
const server = initializeServer({
  config: {
    channels: {
      messenger: {
        enabled: true,
        path: '/webhook',
        pageId: PAGE,
        accessToken: BOT_TOKEN,
        appId: BOT,
        appSecret: BOT_SECRET,
        verifyToken: VERIFY_TOKEN,
        origin: SIM_URL,
      },
    },
  },
});
const listening = server.listen(0, '127.0.0.1', () => console.log(`listening on ${listening.address().port}`));
