"use strict";
/* The playground: three panes on one conversation. The diagram and its helpers come before this file. */
const BOT = "1001", DESK = "2002";
const ACTORS = [{id: "customer", name: "Customer"}, {id: BOT, name: "Bot", tone: "bot"}, {id: "meta", name: "Meta"},
  {id: DESK, name: "Desk", tone: "desk"}];
const AUTHORS = {customer: "Customer", [BOT]: "Bot", [DESK]: "Agent"};
const byId = id => document.getElementById(id);
const tone = owner => owner === null ? "nobody" : owner === BOT ? "bot" : owner === DESK ? "desk" : "other";
const inControl = owner => `${owner === null ? "nobody" : owner === BOT ? "the bot" : owner === DESK ? "the desk" : "Meta's inbox"} has control`;

let state = {stage: 0, next: 0, customers: []}, lines = [], chosen = null;

async function post(path, body) {
  const response = await fetch(path, {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  if (!response.ok) throw new Error(await response.text());
}
/** Does something in the chosen conversation, says so, and shows a refusal. */
async function act(body, said = "") {
  byId("error").textContent = "";
  byId("status").textContent = said;
  try {
    await post("api/act", {customer: chosen, ...body});
  } catch (error) {
    byId("status").textContent = "";
    byId("error").textContent = error.message;
  }
  await refresh();
}
async function startOver() {
  byId("error").textContent = "";
  byId("status").textContent = "Everything starts over.";
  try {
    await post("api/start-over", {policy: byId("policy").value, rules: byId("rules").value});
  } catch (error) { byId("error").textContent = error.message; }
  await refresh();
}

function showPhone(customer) {
  const list = byId("said");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  sync(list, customer.said, said => {
    const mine = said.from === "customer";
    const button = mine ? make("button", {onclick: () => act({do: "unsend", mid: said.mid})}, "Unsend")
      : make("button", {onclick: () => act({do: "react", mid: said.mid, reaction: said.reaction ? null : "love"})},
        said.reaction ? "Take the reaction back" : "React");
    return make("li", {className: mine ? "mine" : "", "data-control": mine ? "" : tone(said.from)},
      make("small", {}, AUTHORS[said.from] ?? "Person in Meta's inbox"), said.unsent ? "(unsent)" : said.text ?? "[picture]",
      said.reaction ? make("small", {}, `reaction: ${said.reaction}`) : null, said.unsent ? null : make("div", {}, button));
  });
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const queueWords = ({said, owner, desk}) => desk.waiting_for_people ? "waits for a person" : desk.open ? "open at the desk"
  : said.length === 0 ? "has not written" : inControl(owner);

function showDesk(customer) {
  const {desk, owner, name} = customer;
  const order = state.customers.map(({id, name, owner, desk, said}) => [id, name, tone(owner), queueWords({said, owner, desk}), id === chosen])
    .sort((a, b) => b[3].startsWith("waits") - a[3].startsWith("waits"));
  sync(byId("queue"), order, ([id, name, tone, words, current]) => make("li", {}, make("button",
    {"data-control": tone, "aria-current": current, onclick: () => choose(id)}, name,
    make("span", {className: words.startsWith("waits") ? "waits" : ""}, words))));
  set("desk-name", `Conversation with ${name}`);
  set("desk-state", `${desk.open ? "Open at the desk" : "Not open at the desk"}; ${inControl(owner)}.`);
  byId("open").disabled = desk.open;
  for (const control of [byId("close"), byId("reply"), byId("answer").querySelector("button")]) control.disabled = !desk.open;
  byId("reply").placeholder = desk.open ? "Answer as the agent" : "Open the conversation to answer";
  sync(byId("unanswered"), desk.unanswered, text => make("li", {}, text));
  const unknown = desk.sent.some(message => message.state === "unknown");
  const waits = unknown ? "waiting behind the unknown message" : owner === DESK ? "being sent" : "waiting for control";
  sync(byId("sent"), desk.sent.map(message => ({...message, words: message.state === "waiting" ? waits : message.state})), ({key, text, state, words, reason}) => {
    return make("li", {}, text ?? "", make("small", {}, make("span", {className: `state ${state}`}, words), reason ? `: ${reason}` : ""),
      state === "unknown" ? make("button", {onclick: () => act({do: "resume", key})}, "Go on with later messages") : null);
  });
  sync(byId("events"), desk.events.slice(-20), event => make("li", {}, event));
}
function set(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}
function choose(id) {
  chosen = id;
  show();
}
function show() {
  const customer = state.customers.find(known => known.id === chosen);
  const select = byId("customer");
  if (!select.options.length) select.append(...state.customers.map(({id, name}) => make("option", {value: id}, name)));
  select.value = chosen;
  byId("bot-down").checked = state.bot_is_down;
  showPhone(customer);
  showDesk(customer);
  const wire = byId("wire"), details = byId("details").checked;
  onChange(wire, [state.stage, state.next, chosen, details], () => drawWire(wire, {actors: ACTORS, lines, user: chosen, details}));
}

let refreshing = null;
/** Asks for news; a call during another one waits for that and asks again, so that an act is always followed by its effect. */
async function refresh() {
  while (refreshing) await refreshing;
  refreshing = fetchNews();
  try { await refreshing; } finally { refreshing = null; }
}
async function fetchNews() {
  try {
    const response = await fetch(`api/state?stage=${state.stage}&after=${state.next}`);
    if (!response.ok) throw new Error(await response.text());
    const news = await response.json();
    if (news.stage !== state.stage) {
      lines = [];
      [byId("policy").value, byId("rules").value] = [news.policy, news.rules];
    }
    lines = lines.concat(news.lines).slice(-600);
    state = news;
    chosen ??= news.customers[0].id;
    show();
  } catch (error) {
    byId("error").textContent = `The playground does not answer: ${error.message}`;
  }
}

/** Sends the text of a form's field as an act, and empties the field. */
const sends = (field, what) => event => {
  event.preventDefault();
  const text = byId(field).value;
  byId(field).value = "";
  act({do: what, text});
};
byId("write").onsubmit = sends("text", "write");
byId("answer").onsubmit = sends("reply", "answer");
for (const button of document.querySelectorAll(".say")) button.onclick = () => act({do: "write", text: button.textContent});
byId("attach").onclick = () => act({do: "attach"});
byId("open").onclick = () => act({do: "open"});
byId("close").onclick = () => act({do: "close"});
byId("customer").onchange = event => choose(event.target.value);
byId("details").onchange = show;
byId("policy").onchange = byId("rules").onchange = byId("start-over").onclick = startOver;
byId("bot-down").onchange = event => act({do: "bot_down", down: event.target.checked});
byId("lose-webhook").onclick = () => act({do: "lose_webhook"}, "The next webhook will be lost.");
byId("lose-response").onclick = () => act({do: "lose_response"}, "Meta will send the desk's next answer, but not confirm it.");
byId("inbox").onclick = () => act({do: "inbox", text: "Hello, this is Kim from the shop."}, "A person answers in Meta's inbox app.");
(async () => {
  for (;;) {
    await refresh();
    await new Promise(done => setTimeout(done, 500));
  }
})();
