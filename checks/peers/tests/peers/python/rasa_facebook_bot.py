"""A bot behind Rasa's own Facebook channel: it answers, and passes to the desk.

The channel, the HTTP server and the Graph client are Rasa's, unmodified. Its dialogue engine needs TensorFlow, so an agent of
three lines stands in its place, and the packages' `__init__` files, which import that engine, are passed over.
"""

import importlib.util
import logging
import os
import socket
import sys
import types

import requests

SIM_URL, DESK, BOT_TOKEN, BOT_SECRET, VERIFY_TOKEN = (
    os.environ[name] for name in ("SIM_URL", "DESK", "BOT_TOKEN", "BOT_SECRET", "VERIFY_TOKEN")
)


def without_init(name):
    """Makes a package importable without running its `__init__`."""
    package = types.ModuleType(name)
    parent, _, own = name.rpartition(".")
    if parent:
        package.__path__ = [os.path.join(sys.modules[parent].__path__[0], own)]
    else:
        package.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
    sys.modules[name] = package


for package in ("rasa", "rasa.core", "rasa.core.channels", "rasa.cli"):
    without_init(package)
# The channel needs one function of it, which prints buttons on a console.
sys.modules["rasa.cli.utils"] = sys.modules["rasa.cli"].utils = types.ModuleType("rasa.cli.utils")

from rasa.core.channels.channel import register  # noqa: E402
from rasa.core.channels.facebook import FacebookInput  # noqa: E402
from sanic import Sanic  # noqa: E402

# Where Graph is, is fixed in fbmessenger: there is no setting for it.
to_network = requests.adapters.HTTPAdapter.send


def to_simulator(adapter, request, **options):
    request.url = request.url.replace("https://graph.facebook.com", SIM_URL, 1)
    return to_network(adapter, request, **options)


requests.adapters.HTTPAdapter.send = to_simulator


class Agent:
    """Stands in for Rasa's dialogue engine."""

    async def handle_message(self, message):
        channel, user = message.output_channel, message.sender_id
        if message.text == "menu":
            await channel.send_text_with_buttons(user, "Choose.", [{"title": "Help", "payload": "HELP"}])
        elif message.text == "a person, please":
            await channel.send_text_message(user, "One moment.")
            # Neither the channel nor its client has a call of thread control.
            client = channel.messenger_client
            body = {"recipient": {"id": user}, "target_app_id": DESK, "metadata": "wants a person"}
            url = f"{client.graph_url}/me/pass_thread_control"
            client.session.post(url, params=client.auth_args, json=body).raise_for_status()
        else:
            await channel.send_text_message(user, f"You said: {message.text}")


# Otherwise it prints each standby event that the channel cannot read.
logging.getLogger("sanic.error").setLevel(logging.CRITICAL)
app = Sanic("rasa", configure_logging=False)
app.ctx.agent = Agent()
credentials = {"verify": VERIFY_TOKEN, "secret": BOT_SECRET, "page-access-token": BOT_TOKEN}
register([FacebookInput.from_credentials(credentials)], app, route="/webhooks/")
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on {listener.getsockname()[1]}", flush=True)
app.run(sock=listener, access_log=False, motd=False)
