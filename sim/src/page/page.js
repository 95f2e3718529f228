"use strict";
const byId = id => document.getElementById(id);
const call = async (method, path, body) => {
  const response = await fetch("/_sim/" + path, {method, body: body === undefined ? undefined : JSON.stringify(body)});
  const text = await response.text();
  if (!response.ok) {
    let why = text;
    try { why = JSON.parse(text).error.message; } catch { /* Not JSON: shown as it is. */ }
    throw new Error(why);
  }
  return text;
};
/** Runs an act, shows why it failed, and refreshes the page. */
const act = run => async event => {
  event?.preventDefault();
  byId("error").textContent = "";
  try { await run(); } catch (error) { byId("error").textContent = error.message; }
  await refresh();
};

let world = {apps: [], pages: []}, chosen = null, seen = 0, lines = [], editing = null;
const actors = () => {
  const spare = ["desk", "third"];
  const apps = world.apps.map(({id, name}) => ({id, name, tone: /bot/i.test(name) ? "bot" : spare.shift() ?? "other"}));
  return [{id: "customer", name: "Customer"}, {id: "meta", name: "Meta"}, ...apps];
};
const name = id => actors().find(actor => actor.id === String(id))?.name ?? (INBOXES.includes(String(id)) ? "Meta's inbox" : `app ${id}`);
const tone = id => id === null ? "nobody" : actors().find(actor => actor.id === String(id))?.tone ?? "other";
const person = (page, id) => world.pages.find(known => known.id === page)?.people.find(known => known.id === id)?.name ?? id;
const path = what => `pages/${chosen.page}/${what === "inbox" ? "inbox" : "people"}/${encodeURIComponent(chosen.user)}`;

function showThreads(threads) {
  const known = [...threads];
  const add = (page, user) => {
    if (!known.some(thread => thread.page === page && thread.user === user)) known.push({page, user, owner: null, messages: []});
  };
  for (const page of world.pages) for (const one of page.people) add(page.id, one.id);
  if (chosen) add(chosen.page, chosen.user);
  chosen ??= known[0] && {page: known[0].page, user: known[0].user};
  const isChosen = thread => chosen?.page === thread.page && chosen?.user === thread.user;
  const shown = known.map(thread => ({...thread, messages: null, chosen: isChosen(thread), person: person(thread.page, thread.user)}));
  sync(byId("threads"), shown, ({page, user, owner, chosen: now, person}) => make("li", {}, make("button",
    {className: "thread" + (now ? " chosen" : ""), "aria-pressed": now, onclick: act(async () => { chosen = {page, user}; edits(null); })}, `${person}: `,
    make("span", {className: "owner", "data-control": tone(owner)}, owner ? `${name(owner)} has control` : "idle: nobody has control"))));
  showConversation(known.find(isChosen)?.messages ?? []);
}

/** The text of a message, and the kinds of its attachments in brackets. */
function content({text, message}) {
  const kinds = (message?.attachments ?? []).map(attachment => `[${attachment.type}]`);
  if (message?.is_unsupported) kinds.push("[not shown to apps]");
  return [text, ...kinds].filter(part => part).join(" ") || JSON.stringify(message);
}

/** The acts that the customer has on a message: each a label and a call. */
function actsOn(said, mine) {
  const post = (what, body) => () => call("POST", `${path("person")}/${what}`, body);
  if (mine) {
    const own = [["Unsend", post("unsends", {mid: said.mid})]];
    return said.text ? [...own, ["Edit", async () => edits(said)]] : own;
  }
  const reaction = [said.reaction ? "Take the reaction back" : "React", post("reactions", {mid: said.mid, reaction: said.reaction ? null : "love"})];
  const choices = said.message?.quick_replies ?? [];
  return [reaction, ...choices.filter(choice => choice.title).map(({title, payload}) =>
    [`Choose “${title}”`, post("messages", {text: title, quick_reply: String(payload ?? "")})])];
}

/** Puts a message into the text field to edit it; with null the field is for a new message again. */
function edits(said) {
  editing = said?.mid ?? null;
  byId("text").value = said?.text ?? "";
  byId("send").textContent = said ? "Save edit" : "Send";
  byId("cancel").hidden = !said;
  if (said) byId("text").focus();
}

function showConversation(messages) {
  sync(byId("conversation"), messages, said => {
    const mine = said.from === "customer";
    const notes = [said.edits && !said.unsent ? "edited" : null, said.reaction ? `reaction: ${said.reaction}` : null];
    const buttons = said.unsent ? [] : actsOn(said, mine).map(([label, run]) => make("button", {onclick: act(run)}, label));
    return make("li", {className: "said" + (mine ? "" : " app"), "data-control": mine ? "" : tone(said.from)},
      mine ? null : make("small", {}, name(said.from)), said.unsent ? "(unsent)" : content(said),
      ...notes.map(note => note && make("small", {}, note)), buttons.length ? make("div", {}, ...buttons) : null);
  });
}

let refreshing = false;
async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    world = JSON.parse(await call("GET", "world"));
    const news = (await call("GET", `transcript?after=${seen}`)).split("\n").filter(Boolean).map(line => JSON.parse(line));
    seen = news.at(-1)?.seq ?? seen;
    lines = lines.concat(news).slice(-500);
    showThreads(JSON.parse(await call("GET", "threads")));
    const box = byId("lines"), details = byId("details").checked, user = chosen?.user;
    onChange(box, [seen, user, details, world.apps], () => drawWire(box, {actors: actors(), lines, user, details}));
    byId("clock").textContent = new Date(JSON.parse(await call("GET", "clock")).now_ms).toISOString().replace("T", " ").slice(0, 19);
    byId("faults").textContent = JSON.parse(await call("GET", "faults")).length;
  } catch (error) {
    byId("error").textContent = error.message;
  } finally {
    refreshing = false;
  }
}

/** Sends the text of a form's field, and empties the field. */
const sends = (field, to) => act(async () => {
  await call("POST", to() + "/messages", {text: byId(field).value});
  byId(field).value = "";
});
const writes = sends("text", () => path("person"));
byId("write").onsubmit = event => editing === null ? writes(event) : act(async () => {
  await call("POST", path("person") + "/edits", {mid: editing, text: byId("text").value});
  edits(null);
})(event);
byId("cancel").onclick = act(async () => edits(null));
byId("sticker").onclick = act(() => call("POST", path("person") + "/messages", {sticker_id: 369239263222822}));
byId("link").onclick = act(() => call("POST", path("person") + "/referrals", {ref: "link-of-this-page"}));
byId("inbox").onsubmit = sends("reply", () => path("inbox"));
byId("attach").onclick = act(() => call("POST", path("person") + "/attachments", {type: "image", url: "https://example.com/picture.jpg"}));
byId("read").onclick = act(() => call("POST", path("person") + "/reads"));
byId("move").onclick = act(() => call("POST", path("inbox") + "/move"));
byId("new").onsubmit = act(async () => {
  chosen = {page: chosen?.page ?? world.pages[0].id, user: byId("new-person").value};
  edits(null);
  byId("new-person").value = "";
});
byId("details").onchange = act(async () => {});
byId("add-fault").onclick = act(() => call("POST", "faults", JSON.parse(byId("fault").value)));
byId("clear-faults").onclick = act(() => call("DELETE", "faults"));
byId("reset").onclick = act(() => call("POST", "reset"));
for (const button of document.querySelectorAll("[data-advance]"))
  button.onclick = act(() => call("POST", "clock", {advance_ms: Number(button.dataset.advance)}));
refresh();
setInterval(refresh, 700);
