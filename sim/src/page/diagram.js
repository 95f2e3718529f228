"use strict";
/* The sequence diagram of one conversation, drawn from the lines of the simulator's transcript (docs/simulator.md). */

/** An element with these properties and children. Strings become text, never markup. */
function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (name.startsWith("data-") || name.startsWith("aria-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

/** Runs `draw` only if `value` has changed since the last call for this element, so that the focus stays. */
function onChange(element, value, draw) {
  const key = JSON.stringify(value);
  if (element.shown === key) return;
  element.shown = key;
  draw();
}

/** Makes the children of `list` those that `draw` makes of `items`. Those of unchanged items stay, so that nothing is read out again. */
function sync(list, items, draw) {
  items.forEach((item, index) => {
    const key = JSON.stringify(item), old = list.children[index];
    if (old?.shown === key) return;
    const fresh = draw(item), hadFocus = old?.contains(document.activeElement);
    fresh.shown = key;
    if (old) old.replaceWith(fresh);
    else list.append(fresh);
    if (hadFocus) fresh.querySelector("button")?.focus();
  });
  while (list.children.length > items.length) list.lastChild.remove();
}

const INBOXES = ["263902037430900", "1217981644879628"];
const CALLS = {
  take_thread_control: "takes control", request_thread_control: "asks for control", release_thread_control: "gives control up",
  extend_thread_control: "keeps control for longer", thread_owner: "asks who has control",
};
const WEBHOOKS = {
  message: "new message", echo: "echo of a message", postback: "a button was pressed", read: "the customer has read",
  delivery: "message delivered", reaction: "a reaction", edit: "message edited",
  referral: "came by a link or an ad", optin: "opted in", policy_enforcement: "Meta enforces its policy", pass_thread_control: "you have control now", app_roles: "your role has changed",
  take_thread_control: "control taken away", request_thread_control: "another app asks for control",
};
const ACTS = {edit: "edits a message", referral: "comes by a link or an ad", optin: "opts in to messages", unsend: "takes a message back", react: "reacts to a message", unreact: "takes a reaction back"};
const quoted = text => `“${text}”`;

function webhookWords(line) {
  const entry = line.body?.entry?.[0];
  const item = line.item ?? entry?.messaging?.[0] ?? entry?.standby?.[0];
  return item?.message?.is_deleted ? "message taken back" : WEBHOOKS[line.label] ?? line.label;
}

function callRow(line, name) {
  const request = line.request ?? {}, target = request.target_app_id;
  const text = request.message?.text;
  const words = line.edge === "messages" ? request.sender_action ?? "sends a message"
    : line.edge === "pass_thread_control" ? `gives control to ${target ? name(target) : "the default app"}`
    : CALLS[line.edge] ?? line.edge;
  const error = line.response?.error;
  const refused = line.status === 200 ? "" : `refused${error ? ` (#${error.code})` : ""}: `;
  const tip = `${line.method} ${line.edge}: ${line.status}${error?.message ? `, ${error.message}` : ""}${text ? `\n${quoted(text)}` : ""}`;
  return {from: String(line.app), to: "meta", words: refused + words, code: line.edge, tip, bad: line.status !== 200,
          detail: line.method === "GET"};
}

/** Whether a line belongs to a conversation. Lines that name no customer belong to all. */
function isAbout(line, user) {
  const people = line.user !== undefined && line.user !== null ? [line.user]
    : [line.item?.sender?.id, line.item?.recipient?.id, line.request?.recipient?.id].filter(Boolean);
  return !people.length || people.map(String).includes(String(user));
}

/** The rows of the diagram. A webhook that is repeated until its app accepts it stays one row. */
function rowsOf(lines, name) {
  const rows = [], bySeq = new Map(), lastOf = new Map();
  for (const line of lines) {
    const note = (words, bad = false) => rows.push({words, bad});
    if (line.kind === "customer") rows.push({from: "customer", to: "meta", words: quoted(line.text)});
    else if (line.kind === "customer_act") rows.push({from: "customer", to: "meta", words: ACTS[line.act] ?? line.act, tip: line.detail});
    else if (line.kind === "reached") rows.push({from: "meta", to: "customer", words: quoted(line.text)});
    else if (line.kind === "call") rows.push(callRow(line, name));
    else if (line.kind === "webhook") {
      let row = line.attempt > 1 ? lastOf.get(line.app) : undefined;
      if (!row) {
        const listens = line.channel === "standby";
        row = {from: "meta", to: String(line.app), words: (listens ? "copy: " : "") + webhookWords(line),
               code: `webhook ${line.label}, ${line.channel}`, detail: listens || ["echo", "delivery", "read"].includes(line.label)};
        rows.push(row);
        lastOf.set(line.app, row);
      }
      row.attempt = line.attempt;
      bySeq.set(line.seq, row);
    } else if (line.kind === "webhook_answer") {
      const row = bySeq.get(line.of);
      if (row) Object.assign(row, {bad: line.status !== 200, status: line.status ?? "no response"});
    } else if (line.kind === "webhook_lost")
      rows.push({from: "meta", to: String(line.app), words: `lost: ${webhookWords(line)}`, code: `webhook ${line.label}`, bad: true});
    else if (line.kind === "host") rows.push({from: line.from, to: line.to, words: line.words, code: line.code, bad: line.bad});
    else if (line.kind === "owner") rows.push({owner: line.owner === null ? null : String(line.owner)});
    else if (line.kind === "policy") note(`Meta's policy, ${line.action}: ${line.reason ?? "no reason given"}`, line.action !== "unblock");
    else if (line.kind === "note") note(line.words, line.bad);
    else if (line.kind === "fault") note(`${line.path}: ${String(line.fault).replaceAll("_", " ")}`, true);
    else if (line.kind === "refused") note(`refused: ${line.response?.error?.message}`, true);
    else if (line.kind === "unsubscribed") note(`Meta has unsubscribed ${name(line.app)}`, true);
    else if (line.kind === "reset") rows.push({words: "everything starts over", owner: null});
  }
  return rows;
}

/** Words about the deliveries of a webhook that was not accepted at once. */
function deliveryWords({attempt, bad, status}) {
  if (!attempt) return "";
  if (bad) return ` — not accepted (${status})${attempt > 1 ? `, tried ${attempt} times` : ""}`;
  return attempt > 1 ? ` — accepted at attempt ${attempt}` : "";
}

/**
 * Draws into `box`. `actors` are the lifelines from left to right, each `{id, name, tone}`, with `customer` and `meta` among the
 * ids; a tone is `bot`, `desk` or `third`. `details` shows copies, receipts and reads too.
 */
function drawWire(box, {actors, lines, user, details}) {
  const name = id => actors.find(actor => actor.id === String(id))?.name
    ?? (INBOXES.includes(String(id)) ? "Meta's inbox" : `app ${id}`);
  const at = id => Math.max(0, actors.findIndex(actor => actor.id === id));
  let owner = null;
  const list = make("ol");
  for (const row of rowsOf(lines.filter(line => isAbout(line, user)), name)) {
    const turns = row.owner !== undefined && row.owner !== owner;
    if (row.owner !== undefined) owner = row.owner;
    const found = actors.find(actor => actor.id === owner);
    const tone = owner === null ? "nobody" : found?.tone ?? "other";
    const bar = owner === null ? null : make("span", {className: "bar", "--at": at(found ? owner : "meta")});
    const item = (className, ...children) => list.append(make("li", {className, "data-control": tone}, bar, ...children));
    if (row.from) {
      if (row.detail && !row.bad && !details) continue;
      const [from, to] = [at(row.from), at(row.to)];
      const words = row.words + deliveryWords(row);
      const label = make("span", {className: "label", title: [words, row.tip ?? row.code].filter(Boolean).join("\n")},
        make("span", {className: "hidden"}, `${name(row.from)} to ${name(row.to)}: `), make("span", {className: "words"}, words),
        row.code ? make("code", {}, row.code) : null);
      const way = make("span", {className: `way ${from < to ? "right" : "left"}`, "--lo": Math.min(from, to), "--len": Math.abs(from - to)},
        label, make("span", {className: "arrow"}));
      item((row.bad ? "bad" : "") + (row.detail ? " detail" : ""), way);
    } else if (row.words) item("note" + (row.bad ? " bad" : ""), make("span", {className: "label", title: row.words}, row.words));
    if (turns) item("turn", make("b", {}, `${owner === null ? "Nobody" : name(owner)} has control`));
  }
  const heads = actors.map((actor, index) =>
    make("span", {"--at": index, ...(actor.tone ? {"data-control": actor.tone} : {})}, actor.name));
  const lives = actors.map((_, index) => make("div", {className: "life", "--at": index}));
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const {scrollLeft, scrollTop} = box;
  box.replaceChildren(make("div", {className: "sheet", "--n": actors.length},
    make("div", {className: "heads", "aria-hidden": "true"}, ...heads), ...lives, list));
  box.scrollTo(scrollLeft, atEnd ? box.scrollHeight : scrollTop);
}
