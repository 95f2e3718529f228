// The configuration of a bot that keeps its sessions in `STORE`: memory, file or redis.
'use strict';

const { STORE, REDIS_URL, FOLDER, GRAPH, SECRET } = process.env;

module.exports = {
  session: { driver: STORE, stores: { file: { dirname: FOLDER }, redis: REDIS_URL } },
  channels: {
    messenger: {
      enabled: true,
      path: '/',
      pageId: '987654321098765',
      accessToken: 'token',
      appId: '1001',
      appSecret: SECRET,
      verifyToken: 'verify',
      origin: GRAPH,
      fields: [],
    },
  },
};
