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

let world = {apps: [], pages: []}, chosen = null, seen = 0, lines = [];
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
    {className: "thread" + (now ? " chosen" : ""), "aria-pressed": now, onclick: act(async () => { chosen = {page, user}; })}, `${person}: `,
    make("span", {className: "owner", "data-control": tone(owner)}, owner ? `${name(owner)} has control` : "idle: nobody has control"))));
  showConversation(known.find(isChosen)?.messages ?? []);
}

function showConversation(messages) {
  sync(byId("conversation"), messages, said => {
    const mine = said.from === "customer";
    const what = said.text ?? (said.message?.attachments ? `[${said.message.attachments[0].type}]` : JSON.stringify(said.message));
    const button = mine ? make("button", {}, "Unsend") : make("button", {}, said.reaction ? "Take the reaction back" : "React");
    button.onclick = act(() => mine ? call("POST", path("person") + "/unsends", {mid: said.mid})
      : call("POST", path("person") + "/reactions", {mid: said.mid, reaction: said.reaction ? null : "love"}));
    return make("li", {className: "said" + (mine ? "" : " app"), "data-control": mine ? "" : tone(said.from)},
      mine ? null : make("small", {}, name(said.from)), said.unsent ? "(unsent)" : what,
      said.reaction ? make("small", {}, `reaction: ${said.reaction}`) : null, said.unsent ? null : make("div", {}, button));
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
byId("write").onsubmit = sends("text", () => path("person"));
byId("inbox").onsubmit = sends("reply", () => path("inbox"));
byId("attach").onclick = act(() => call("POST", path("person") + "/attachments", {type: "image", url: "https://example.com/picture.jpg"}));
byId("read").onclick = act(() => call("POST", path("person") + "/reads"));
byId("move").onclick = act(() => call("POST", path("inbox") + "/move"));
byId("new").onsubmit = act(async () => {
  chosen = {page: chosen?.page ?? world.pages[0].id, user: byId("new-person").value};
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
