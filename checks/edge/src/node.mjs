// What many write by hand: the HMAC of the raw body, and JSON.parse. Prints its port.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.argv[2];
let events = 0;

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const signature = Buffer.from(String(request.headers["x-hub-signature-256"]).slice("sha256=".length), "hex");
    const expected = createHmac("sha256", secret).update(body).digest();
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      response.writeHead(401).end();
      return;
    }
    for (const entry of JSON.parse(body).entry) events += entry.messaging.length;
    response.writeHead(200).end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("close", () => process.exit()).resume();
