// The open session: which one the address names, its head, and how it is kept up to date.

import { ask, reached, sessionPath } from "./api.js";
import { act, goTo, newSession } from "./actions.js";
import { openChat, startChat, updateChat } from "./chat.js";
import { drawDetails, drawTurns, openDetails } from "./details.js";
import { byId, h, kept, setText, toast } from "./dom.js";
import { ago, count } from "./format.js";
import { focusOpen, forgetRow, markOpen, refreshList } from "./list.js";
import { tellOthers, whenOthersTell } from "./news.js";
import { Poller } from "./polling.js";

const TURNS = 20;

let current = null; // { id, session, etag, seen }
const poller = new Poller(refresh, 3, 8);

export function startSession() {
  addEventListener("hashchange", open);
  startChat(lookAgain);
  whenOthersTell(look);
  open();
}

function look() {
  poller.now();
  refreshList();
}

/** After something was done here. */
export function lookAgain() {
  tellOthers();
  look();
}

export const hasSession = () => Boolean(current?.session);

/** Shows the session that the address names. */
function open() {
  const address = new URLSearchParams(location.hash.slice(1));
  const id = address.get("session");
  if (id === (current?.id ?? null)) return;
  poller.stop();
  if (address.has("user")) reached.set(id, address.get("user"));
  current = id === null ? null : { id, session: null, etag: "", seen: "" };
  markOpen(id);
  document.title = id === null ? "Conversation gateway" : `${id} · Conversation gateway`;
  document.body.classList.toggle("in-session", id !== null);
  byId("missing").hidden = true;
  byId("welcome").hidden = id !== null;
  byId("session").hidden = id === null;
  if (id === null) return focusOpen();
  setText(byId("title"), id);
  setText(byId("subtitle"), "\u00a0");
  byId("title").title = id;
  openDetails();
  openChat(id);
  for (const button of byId("actions").querySelectorAll("[data-action]")) button.disabled = true;
  byId("set-status").disabled = true;
  poller.start();
  enter();
}

/** The focus goes to where one writes; on a phone to the title, so that no keyboard covers what is to be read. */
function enter() {
  byId(matchMedia("(hover: hover)").matches ? "message" : "title").focus({ preventScroll: true });
}

async function refresh() {
  const asked = current;
  let found;
  try {
    found = await ask("GET", sessionPath(asked.id));
  } catch (error) {
    // Under its user's name there is no such session, or not for us: it may be there without.
    if ([403, 404].includes(error.status) && reached.delete(asked.id)) return refresh();
    if (error.status !== 404 && error.status !== 400) throw error;
    if (asked === current) drawMissing(error);
    return false;
  }
  const { data: session, etag } = found;
  const turns = session.status === "erasing" ? { data: [] } : await recorded(asked.id);
  if (asked !== current) return true;
  const seen = JSON.stringify([
    session.conversation_id,
    session.last_used,
    session.status,
    turns.data.map((turn) => [turn.turn_id, turn.state]),
  ]);
  const changed = seen !== asked.seen;
  Object.assign(asked, { session, etag });
  drawHead();
  drawTurns(turns.data, turns.has_more);
  await updateChat(session, turns.data, changed);
  asked.seen = seen;
  return changed;
}

async function recorded(id) {
  try {
    return (await ask("GET", sessionPath(id, `/turns?limit=${TURNS}`))).data;
  } catch (error) {
    // It was erased in between.
    if (error.status === 404) return { data: [] };
    throw error;
  }
}

function drawHead() {
  const { session, etag } = current;
  byId("missing").hidden = true;
  byId("session").hidden = false;
  const facts = [session.user_id, count(session.turns, "turn"), `used ${ago(session.last_used)}`];
  setText(byId("subtitle"), facts.filter(Boolean).join(" · "));
  const select = byId("set-status");
  if (document.activeElement !== select) select.value = session.status;
  select.className = `status-select ${session.status}`;
  const erasing = session.status === "erasing";
  select.disabled = erasing;
  for (const button of byId("actions").querySelectorAll("[data-action]"))
    button.disabled = erasing && button.dataset.action !== "erase";
  drawDetails(session, etag, { edited });
}

function edited({ data, etag }) {
  Object.assign(current, { session: data, etag });
  drawHead();
  lookAgain();
}

function drawMissing(error) {
  const { id } = current;
  byId("session").hidden = true;
  const missing = byId("missing");
  missing.hidden = false;
  current.session = null;
  const offers = h(
    "div",
    { class: "offers" },
    error.status === 404
      ? h("button", { type: "button", class: "button primary", onclick: () => newSession(lookAgain, id) }, "Start it")
      : null,
    h("button", { type: "button", class: "button", onclick: () => goTo(null) }, "Back to the list"),
  );
  missing.replaceChildren(
    h("h2", {}, error.status === 404 ? "There is no such session" : "This is no session id"),
    h(
      "p",
      {},
      error.status === 404
        ? [h("strong", {}, id), " was erased, has expired, was renamed, or never was."]
        : error.message,
    ),
    offers,
  );
  forgetRow(id);
}

// --- What is done with it -------------------------------------------------------------------------------------

export function perform(action) {
  const button = document.querySelector(`[data-action="${action}"]`);
  if (!hasSession() || button.disabled) return;
  act[action](current.session, (id) => {
    const same = id === current?.id;
    if (!same && action !== "fork") forgetRow(current.id);
    if (!same) {
      poller.stop();
      goTo(id, reached.get(current.id));
    }
    lookAgain();
  });
}

byId("actions").addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) perform(button.dataset.action);
});

byId("set-status").addEventListener("change", async (event) => {
  const asked = current;
  try {
    edited(
      await ask("PATCH", sessionPath(asked.id), {
        body: { status: event.target.value },
        headers: { "If-Match": asked.etag },
      }),
    );
    toast(`The session is ${event.target.value}.`);
  } catch (error) {
    toast(
      error.code === "version_mismatch"
        ? "Somebody else has changed this session. Look, and try again."
        : error.message,
    );
    event.target.value = asked.session.status;
    poller.now();
  }
});

// --- The details beside it ------------------------------------------------------------------------------------

const wide = matchMedia("(min-width: 1200px)");

export function toggleDetails(visible = byId("details").hidden) {
  byId("details").hidden = !visible;
  byId("toggle-details").setAttribute("aria-expanded", String(visible));
  byId("session-body").classList.toggle("with-details", visible);
}

byId("toggle-details").addEventListener("click", () => {
  toggleDetails();
  if (wide.matches) kept.set("details", !byId("details").hidden);
});
toggleDetails(wide.matches && kept.get("details", true));
