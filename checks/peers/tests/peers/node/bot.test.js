// A Jest test: the bot answers a customer of the simulated platform. `messenger-sim` is in the PATH.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const { createServer } = require('node:http');
const { tmpdir } = require('node:os');
const { text } = require('node:stream/consumers');
const { setTimeout: sleep } = require('node:timers/promises');

const [page, user] = ['987654321098765', '1234567890123456'];
let program, sim, server, bot;

test('the bot answers', async () => {
  await call('PATCH', '_sim/apps/999', { callback_url: bot });
  await call('POST', `_sim/pages/${page}/people/${user}/messages`, { text: 'hello' });
  await call('POST', '_sim/expect', { page, user, read: 'You wrote: hello', by: '999' });
});

beforeAll(async () => {
  const ready = `${fs.mkdtempSync(`${tmpdir()}/sim-`)}/ready.json`;
  program = spawn('messenger-sim', ['--port', '0', '--quiet', '--ready-file', ready], { stdio: 'inherit' });
  while (!fs.existsSync(ready)) await sleep(50);
  sim = JSON.parse(fs.readFileSync(ready)).url;
  server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  bot = `http://127.0.0.1:${server.address().port}/webhook`;
});

afterAll(async () => {
  program.kill();
  await once(program, 'exit');
  server.close();
});

const call = async (method, path, body) => {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${sim}/${path}`, { method, headers, body: JSON.stringify(body) });
  const result = await response.json();
  // 417 comes with a diagram of what happened instead.
  if (!response.ok) throw new Error(result.error.message);
  return result;
};

const answer = async (request, response) => {
  const delivery = JSON.parse(await text(request));
  response.end();
  for (const { sender, message } of delivery.entry.flatMap((entry) => entry.messaging ?? [])) {
    if (message?.text && !message.is_echo) {
      const reply = { recipient: sender, message: { text: `You wrote: ${message.text}` } };
      await call('POST', 'me/messages?access_token=PAGE_TOKEN', reply);
    }
  }
};
