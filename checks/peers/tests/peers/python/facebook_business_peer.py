"""Meta's own Python SDK goes through a handover from the bot to the desk and back."""

import json
import os
import urllib.request

from facebook_business.adobjects.page import Page
from facebook_business.api import FacebookAdsApi, FacebookSession
from facebook_business.exceptions import FacebookRequestError

SIM_URL, PAGE, PSID, BOT, DESK = (os.environ[name] for name in ("SIM_URL", "PAGE", "PSID", "BOT", "DESK"))
FacebookSession.GRAPH = SIM_URL


def steer(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{SIM_URL}/_sim/{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def thread():
    return steer("GET", f"threads/{PAGE}/{PSID}")


class Side:
    def __init__(self, app, secret, token):
        self.page = Page(PAGE, api=FacebookAdsApi(FacebookSession(app, secret, token)))
        self.to = {"recipient": {"id": PSID}}

    def send(self, text):
        params = {**self.to, "message": {"text": text}, "messaging_type": "RESPONSE"}
        return self.page.create_message(params=params)

    def do(self, what, **params):
        return getattr(self.page, f"create_{what}_thread_control")(params={**self.to, **params})

    def owner(self):
        return str(self.page.get_thread_owner(params={"recipient": PSID})[0]["thread_owner"]["app_id"])


def refused(call):
    try:
        call()
    except FacebookRequestError as error:
        return error
    raise AssertionError("it was not refused")


bot = Side(BOT, os.environ["BOT_SECRET"], os.environ["BOT_TOKEN"])
desk = Side(DESK, os.environ["DESK_SECRET"], os.environ["DESK_TOKEN"])

steer("POST", f"pages/{PAGE}/people/{PSID}/messages", {"text": "hello"})
assert thread()["owner"] == BOT
bot.send("At your service.")
error = refused(lambda: desk.send("I am a person."))
assert (error.api_error_code(), error.api_error_subcode()) == (10, 2018300), error
assert "another app is controlling this thread" in error.api_error_message()

desk.do("request", metadata="a person wants to answer")
assert thread()["owner"] == BOT, "a request that succeeded is no grant"
assert bot.owner() == BOT
bot.do("pass", target_app_id=DESK, metadata="over to you")
assert thread()["owner"] == DESK
desk.send("I am a person.")
assert refused(lambda: bot.do("pass", target_app_id=DESK)).api_error_code() == 100

bot.do("take", metadata="back to the bot")
assert thread()["owner"] == BOT
bot.do("release")
assert thread()["owner"] is None
read = [message["text"] for message in thread()["messages"]]
assert read == ["hello", "At your service.", "I am a person."], read
