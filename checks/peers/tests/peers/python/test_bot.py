"""A pytest: the bot answers a customer of the simulated platform. `messenger-sim` is in the PATH."""

import json
import subprocess
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

PAGE, ANA = "987654321098765", "1234567890123456"


def test_the_bot_answers(sim, bot):
    call("PATCH", f"{sim}/_sim/apps/999", {"callback_url": bot})
    call("POST", f"{sim}/_sim/pages/{PAGE}/people/{ANA}/messages", {"text": "hello"})
    call("POST", f"{sim}/_sim/expect", {"page": PAGE, "user": ANA, "read": "You wrote: hello", "by": "999"})


@pytest.fixture
def sim(tmp_path):
    ready = tmp_path / "ready.json"
    program = subprocess.Popen(["messenger-sim", "--port", "0", "--quiet", "--ready-file", ready])
    while not ready.exists():
        assert program.poll() is None, "messenger-sim ended"
        time.sleep(0.05)
    yield json.loads(ready.read_text())["url"]
    program.terminate()
    program.wait()


def call(method, url, body):
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"}, method=method)
    try:
        with urlopen(request) as response:
            return json.load(response)
    except HTTPError as refused:  # 417 comes with a diagram of what happened instead.
        raise AssertionError(json.load(refused)["error"]["message"]) from None


class Bot(BaseHTTPRequestHandler):
    def do_POST(self):
        delivery = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
        for event in (event for entry in delivery["entry"] for event in entry.get("messaging", [])):
            message = event.get("message", {})
            if "text" in message and "is_echo" not in message:
                answer = {"recipient": event["sender"], "message": {"text": f"You wrote: {message['text']}"}}
                call("POST", f"{self.server.graph}/me/messages?access_token=PAGE_TOKEN", answer)


@pytest.fixture
def bot(sim):
    with HTTPServer(("127.0.0.1", 0), Bot) as server:
        server.graph = sim
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/webhook"
        server.shutdown()
