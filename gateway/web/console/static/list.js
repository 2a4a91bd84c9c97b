// The sessions, newest use first: searched, filtered, paged, and kept up to date.

import { addressOf } from "./actions.js";
import { ask } from "./api.js";
import { arrange, byId, h, setText } from "./dom.js";
import { ago, count, exactly } from "./format.js";
import { Poller } from "./polling.js";

const PAGE = 30;

const list = byId("sessions");
const rows = new Map(); // session id → its row
let sessions = []; // as they are shown
let next = null; // where the last page that was loaded ends
let deeper = false; // whether more than the first page was loaded
let shownFor = ""; // the filter of what is shown
let opened = null;

const poller = new Poller(refresh, 4, 10);

export function startList() {
  for (const id of ["prefix", "user"]) byId(id).addEventListener("input", later);
  byId("status").addEventListener("change", () => poller.now());
  byId("more").addEventListener("click", loadMore);
  setInterval(() => document.hidden || sessions.forEach(drawTimes), 30000);
  return poller.start();
}

export const refreshList = () => poller.now();

/** Marks the session that is open. */
export function markOpen(sessionId) {
  opened = sessionId;
  for (const [id, row] of rows) mark(id, row);
}

export function focusOpen() {
  (rows.get(opened) || list.firstElementChild)?.querySelector("a").focus();
}

/** Moves the focus up or down; from outside the list it begins at the open session, or at the top. */
export function moveFocus(step) {
  const links = [...list.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const target = at < 0 ? rows.get(opened)?.querySelector("a") || links[0] : links[at + step];
  target?.focus();
}

export function forgetRow(sessionId) {
  sessions = sessions.filter((session) => session.session_id !== sessionId);
  draw();
}

export function clearFilter() {
  byId("prefix").value = byId("user").value = byId("status").value = "";
  return poller.now();
}

let timer = 0;

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => poller.now(), 150);
}

function filter() {
  const asked = new URLSearchParams();
  for (const [name, id] of [
    ["prefix", "prefix"],
    ["user_id", "user"],
    ["status", "status"],
  ]) {
    const value = byId(id).value.trim();
    if (value) asked.set(name, value);
  }
  return asked.toString();
}

const fetchPage = async (asked, after) =>
  (
    await ask(
      "GET",
      `sessions?limit=${PAGE}${asked && `&${asked}`}${after ? `&after=${encodeURIComponent(after)}` : ""}`,
    )
  ).data;

async function refresh() {
  const asked = filter();
  const page = await fetchPage(asked);
  if (asked !== filter()) return refresh();
  const before = JSON.stringify(sessions);
  const ids = new Set(page.data.map((session) => session.session_id));
  const oldest = page.data.at(-1)?.last_used;
  const rest =
    deeper && asked === shownFor && page.has_more
      ? sessions.filter((session) => !ids.has(session.session_id) && session.last_used <= oldest)
      : [];
  if (!rest.length) {
    deeper = false;
    next = page.next;
  }
  sessions = [...page.data, ...rest];
  shownFor = asked;
  draw();
  return JSON.stringify(sessions) !== before;
}

async function loadMore() {
  const button = byId("more");
  button.disabled = true;
  try {
    const page = await fetchPage(shownFor, next);
    const known = new Set(sessions.map((session) => session.session_id));
    sessions.push(...page.data.filter((session) => !known.has(session.session_id)));
    next = page.next;
    deeper = true;
    draw();
  } catch {
    poller.now();
  } finally {
    button.disabled = false;
  }
}

function draw() {
  const before = places();
  for (const id of rows.keys()) if (!sessions.some((session) => session.session_id === id)) rows.delete(id);
  arrange(list, sessions.map(drawRow));
  slide(before);
  byId("more").hidden = !next;
  drawEmpty();
}

function drawRow(session) {
  const id = session.session_id;
  let row = rows.get(id);
  if (!row) {
    row = h(
      "li",
      {},
      h(
        "a",
        { class: "row-link", href: "#" },
        h("span", { class: "row-name" }, id),
        h("time", { class: "row-time" }),
        h("span", { class: "row-about" }),
        h("span", { class: "row-status" }),
      ),
    );
    rows.set(id, row);
    mark(id, row);
  }
  // With auth, an admin who asks for a user's sessions reaches them under that user's name.
  const userId = document.body.dataset.auth === "none" ? undefined : new URLSearchParams(shownFor).get("user_id");
  row.firstChild.hash = addressOf(id, userId ?? undefined);
  const about = [session.user_id, count(session.turns, "turn")];
  setText(row.querySelector(".row-about"), about.filter(Boolean).join(" · "));
  const status = row.querySelector(".row-status");
  status.className = `row-status ${session.status}`;
  setText(status, session.status === "active" ? "" : session.status);
  drawTimes(session);
  return row;
}

function drawTimes(session) {
  const time = rows.get(session.session_id).querySelector("time");
  time.dateTime = session.last_used;
  time.title = `Last used ${exactly(session.last_used)}`;
  setText(time, ago(session.last_used));
}

function mark(id, row) {
  const link = row.querySelector("a");
  if (id === opened) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

function drawEmpty() {
  const empty = byId("sessions-empty");
  const wanted = sessions.length ? "" : shownFor ? "filtered" : "none";
  empty.hidden = !wanted;
  if (!wanted || empty.dataset.shown === wanted) return;
  empty.dataset.shown = wanted;
  if (wanted === "filtered") {
    empty.replaceChildren(
      h("p", {}, "No session is like that. The search finds ids by their beginning."),
      h("button", { type: "button", class: "button", onclick: () => clearFilter() }, "Clear the search"),
    );
  } else {
    const example = [
      `curl ${new URL("workflow", document.baseURI)} \\`,
      "  -H 'Content-Type: application/json' \\",
      `  -d '{"session_id": "hello",`,
      `       "input_as_text": "Hello"}'`,
    ].join("\n");
    empty.replaceChildren(
      h(
        "p",
        {},
        "There are no sessions yet. Make one with ",
        h("kbd", {}, "n"),
        ", or send a first message from a client:",
      ),
      h("pre", { tabindex: "0" }, h("code", {}, example)),
    );
  }
}

// --- Rows that change places slide there ----------------------------------------------------------------------

const calm = matchMedia("(prefers-reduced-motion: reduce)");

const places = () => new Map([...rows.values()].map((row) => [row, row.offsetTop]));

function slide(before) {
  if (calm.matches || document.hidden) return;
  for (const row of rows.values()) {
    const from = before.get(row);
    const moved = from === undefined ? 0 : from - row.offsetTop;
    if (moved)
      row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], {
        duration: 180,
        easing: "ease-out",
      });
  }
}
