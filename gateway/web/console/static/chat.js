// The conversation of the open session: the composer, the turn under way, and what to do when something is in its way.

import { ask, sessionPath } from "./api.js";
import { beginReply, sayReply } from "./announcer.js";
import { arrange, byId, h, setText, toast } from "./dom.js";
import { Exchange, exchangeOf } from "./exchange.js";
import { count, duration } from "./format.js";
import { historyItems, openHistory, refreshHistory } from "./history.js";
import { buildMessage, pendingCalls } from "./items.js";
import { renderMarkdown } from "./markdown.js";
import { failureNotice, toolOutputForm } from "./notices.js";
import { keepingPlace, toNewest } from "./scrolling.js";

const message = byId("message");
const drafts = new Map(); // session id → what is written, and not yet sent
const summaries = new Map(); // session id → the last reply's figures
let of = null;
let erasing = false;
let elsewhere = false; // whether another client's turn is open
let news = () => {};

/** `whenNews` is called when a turn of this page is under way, and when it has ended: the rest is looked at again. */
export function startChat(whenNews) {
  news = whenNews;
}

export function openChat(sessionId) {
  if (of !== null) drafts.set(of, message.value);
  of = sessionId;
  elsewhere = erasing = false;
  message.value = drafts.get(sessionId) || "";
  message.setAttribute("aria-label", `Message to ${sessionId}`);
  grow();
  openHistory(sessionId);
  shown = null;
  draw();
}

/** What is known of the session and its turns. With `changed` the history is looked at again. */
export async function updateChat(session, turns, changed) {
  erasing = session.status === "erasing";
  elsewhere = turns.some((turn) => turn.state === "running" || turn.state === "waiting");
  const own = exchangeOf(of);
  if (changed && !erasing && !own?.isOpen) await refreshHistory(settle);
  draw();
}

/** A reply that is in the history need not be shown twice. */
function settle() {
  const own = exchangeOf(of);
  if (own?.state === "done") own.drop();
}

// --- Sending --------------------------------------------------------------------------------------------------

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = message.value;
  if (!text.trim() || exchangeOf(of)?.isOpen || erasing) return;
  message.value = "";
  drafts.delete(of);
  grow();
  start(text);
});

message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});

message.addEventListener("input", grow);

byId("stop").addEventListener("click", stopWaiting);

export function stopWaiting() {
  const own = exchangeOf(of);
  if (!own?.isOpen || own.state === "left") return false;
  own.stop();
  message.focus();
  return true;
}

function start(input, options) {
  const exchange = new Exchange(of, input, changed);
  beginReply();
  toNewest();
  follow(exchange, exchange.run(options));
}

function again(exchange, options) {
  beginReply();
  follow(exchange, exchange.run(options));
  message.focus();
}

async function follow(exchange, running) {
  await running;
  if (exchange.state === "done" && exchange.sessionId === of) await refreshHistory(settle).catch(() => {});
  else if (exchange.state === "done") exchange.drop();
  draw();
  news();
}

let frame = 0;

function changed(exchange) {
  if (exchange.state === "thinking") news();
  if (exchange.state === "done") summaries.set(exchange.sessionId, figures(exchange));
  if (exchange.sessionId !== of) return;
  if (exchange.state === "arriving") sayReply(exchange.words);
  else if (exchange.state === "done") sayReply(exchange.words, true);
  // Words may come faster than they can be seen.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function grow() {
  message.style.height = "auto";
  message.style.height = `${Math.min(message.scrollHeight, 220)}px`;
}

// --- Drawing --------------------------------------------------------------------------------------------------

let shown = null; // the exchange whose nodes these are
let asked, reply, words;

function draw() {
  const own = exchangeOf(of);
  keepingPlace(() => {
    arrange(byId("exchange"), own ? exchangeNodes(own) : elsewhere ? [othersTurn] : []);
    drawNotice(own);
    drawUnspoken(own);
  });
  const open = Boolean(own?.isOpen);
  const away = own?.state === "left";
  byId("send").hidden = open && !away;
  byId("send").disabled = open || erasing;
  byId("stop").hidden = !open || away;
  message.disabled = erasing;
  message.placeholder = erasing ? "This session is being erased" : "Write a message";
  drawState(own);
}

const dots = () => h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
const othersTurn = h(
  "li",
  { class: "item message from-others waiting" },
  dots(),
  h("span", {}, "Another client's turn is under way"),
);

function exchangeNodes(own) {
  if (shown !== own) {
    shown = own;
    asked = own.text === null ? null : buildMessage("user", [{ text: own.text }]);
    reply = buildMessage("assistant", []);
    words = h("div", { class: "text" });
    reply.querySelector(".said").append(words, dots());
  }
  renderMarkdown(words, own.words);
  reply.classList.toggle("arriving", own.isOpen);
  const last = historyItems()?.at(-1);
  const there = own.state === "failed" && last?.role === "user" && last.content?.[0]?.text === own.text;
  return [there ? null : asked, own.isOpen || own.words ? reply : null].filter(Boolean);
}

const STATES = {
  waiting: "Waiting for the session's turn…",
  thinking: "The turn is under way…",
  arriving: "The reply is arriving…",
  left: "No longer waiting. The turn goes on, and its reply is shown when it is there.",
};
const HINT = byId("composer-state").cloneNode(true).childNodes;

function drawState(own) {
  const state = byId("composer-state");
  const text = own?.isOpen ? STATES[own.state] : summaries.get(of) || "";
  if (text) setText(state, text);
  else if (state.dataset.shown) state.replaceChildren(...[...HINT].map((node) => node.cloneNode(true)));
  state.dataset.shown = text;
}

function figures({ reply, startedAt, firstWordAt, endedAt }) {
  if (!reply) return "";
  const { usage, model, incomplete_reason: incomplete } = reply;
  const facts = [`Answered in ${duration((endedAt - startedAt) / 1000)}`];
  if (firstWordAt) facts.push(`first word after ${duration((firstWordAt - startedAt) / 1000)}`);
  if (usage) facts.push(count(usage.total_tokens, "token"));
  if (model) facts.push(model);
  if (incomplete) facts.push(`incomplete: ${incomplete}`);
  return facts.join(" · ");
}

function drawUnspoken(own) {
  const empty = byId("unspoken");
  const items = historyItems();
  empty.hidden = items === null || items.length > 0 || Boolean(own) || elsewhere;
  if (!empty.hidden)
    setText(
      empty,
      erasing ? "This session is being erased." : "Nothing has been said here yet. Write the first message below.",
    );
}

// --- What is in the way ---------------------------------------------------------------------------------------

let noticeFor = null;
let callsFor = "";

function drawNotice(own) {
  const error = own?.state === "failed" ? own.error : null;
  if (error !== noticeFor) byId("notice").replaceChildren(...(error ? [failureNotice(error, offersFor(own))] : []));
  noticeFor = error;
  const calls = own?.isOpen || own?.state === "done" || erasing || elsewhere ? [] : pendingCalls(historyItems() || []);
  const ids = calls.map((call) => call.call_id).join();
  if (ids !== callsFor)
    byId("calls").replaceChildren(
      ...(calls.length ? [toolOutputForm(calls, { send: start, cancel: cancelCalls })] : []),
    );
  callsFor = ids;
}

/** What can be done with a message that was not answered. A sent item has no text that could be edited. */
const offersFor = (own) => ({
  again: (options) => again(own, options),
  cancelCalls: () => cancelCalls(() => again(own)),
  edit: own.text === null ? null : () => edit(own),
  dismiss: () => dismiss(own),
});

function edit(own) {
  own.drop();
  message.value = own.text;
  grow();
  message.focus();
}

async function dismiss(own) {
  own.drop();
  message.focus();
  await refreshHistory().catch(() => {});
  draw();
}

async function cancelCalls(then) {
  try {
    await ask("POST", sessionPath(of, "/pending_calls/cancel"), { body: {} });
  } catch (error) {
    return toast(error.message);
  }
  await refreshHistory().catch(() => {});
  draw();
  return then?.();
}
