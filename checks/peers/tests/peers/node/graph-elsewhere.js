// Leads connections to graph.facebook.com to the simulator, for packages whose address of Graph is fixed.
'use strict';

const http = require('node:http');
const https = require('node:https');

const { hostname, port } = new URL(process.env.SIM_URL);
const elsewhere = https.request;
https.request = (options, ...rest) => {
  if ((options.hostname ?? options.host) !== 'graph.facebook.com') return elsewhere(options, ...rest);
  // The agent goes too, because it is one for TLS.
  const { agent, ...kept } = options;
  return http.request({ ...kept, protocol: 'http:', hostname, host: hostname, port }, ...rest);
};
