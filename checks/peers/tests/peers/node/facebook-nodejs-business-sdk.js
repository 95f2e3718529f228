'use strict';

const { FacebookAdsApi, Page } = require('facebook-nodejs-business-sdk');
const { world, handOver } = require('./common');

// Where Graph is, is a getter of the class: there is no setting for it.
Object.defineProperty(FacebookAdsApi, 'GRAPH', { value: world.SIM_URL });

const side = (token) => {
  const api = new FacebookAdsApi(token);
  const page = new Page(world.PAGE, {}, null, api);
  const recipient = { id: world.PSID };
  return {
    send: (text) => page.createMessage([], { recipient, message: { text }, messaging_type: 'RESPONSE' }),
    pass: (to, metadata) => page.createPassThreadControl([], { recipient, target_app_id: to, metadata }),
    take: (metadata) => page.createTakeThreadControl([], { recipient, metadata }),
    request: (metadata) => page.createRequestThreadControl([], { recipient, metadata }),
    release: () => page.createReleaseThreadControl([], { recipient }),
    owner: async () => {
      const [first] = await page.getThreadOwner([], { recipient: world.PSID });
      return first.thread_owner.app_id;
    },
  };
};

const errorOf = (thrown) => {
  const body = thrown.response?.error ?? thrown.response?.body?.error ?? thrown.response?.data?.error ?? thrown.response;
  return typeof body === 'string' ? JSON.parse(body).error : body;
};

handOver({ bot: side(world.BOT_TOKEN), desk: side(world.DESK_TOKEN), errorOf }).catch((error) => {
  console.error(error);
  process.exit(1);
});
