// What is known of the open session beside its words: the mapping, its data and metadata, its turns.

import { arrange, byId, h, icon, setText, toast } from "./dom.js";
import { JsonEditor } from "./editor.js";
import { ago, duration, exactly, number } from "./format.js";

const editors = [
  new JsonEditor(byId("data"), "data", "Data"),
  new JsonEditor(byId("metadata"), "metadata", "Metadata"),
];

const time = (value) => h("time", { datetime: value, title: exactly(value) }, ago(value));
const exactTime = (value) => h("time", { datetime: value, title: ago(value) }, exactly(value));

export function openDetails() {
  byId("mapping").replaceChildren();
  byId("turns").replaceChildren();
  turnRows.clear();
  for (const editor of editors) editor.close();
}

let mapped = "";

export function drawDetails(session, etag, { edited }) {
  for (const editor of editors) editor.draw(session, etag, edited);
  const now = JSON.stringify(session);
  if (now === mapped && byId("mapping").children.length) return;
  mapped = now;
  const facts = [
    ["Session", copyable(session.session_id)],
    ["Conversation", copyable(session.conversation_id)],
    ["User", session.user_id ?? "none"],
    ["Made", exactTime(session.created_at)],
    ["Last used", exactTime(session.last_used)],
    ["Expires", session.expires_at ? exactTime(session.expires_at) : "never"],
    ["Generation", number(session.generation)],
    ["Turns", number(session.turns)],
  ];
  byId("mapping").replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** With a button that copies it, where the browser lets a page do that. */
function copyable(text) {
  const shown = h("code", {}, text);
  if (!navigator.clipboard) return shown;
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => toast("Copied."),
      () => {},
    );
  const attributes = { type: "button", class: "tool tiny", title: "Copy", "aria-label": `Copy ${text}`, onclick: copy };
  return [shown, h("button", attributes, icon("copy"))];
}

// --- Turns ----------------------------------------------------------------------------------------------------

const turnRows = new Map();

export function drawTurns(turns, hasMore) {
  const section = byId("turns");
  if (!turns.length) return section.replaceChildren(h("p", { class: "hint" }, "No turns are recorded."));
  if (!section.querySelector("table")) {
    const head = h(
      "tr",
      {},
      ["State", "Begun", "Took", "Tokens in / out"].map((name) => h("th", { scope: "col" }, name)),
    );
    section.replaceChildren(
      h("table", { class: "turns" }, h("thead", {}, head), h("tbody")),
      h("p", { class: "hint" }),
    );
  }
  arrange(section.querySelector("tbody"), turns.map(turnRow));
  setText(section.querySelector("p"), hasMore ? `The newest ${turns.length}.` : "");
}

const MARKS = { completed: "check", failed: "cross", lost: "cross", requires_action: "tool" };

function turnRow(turn) {
  const drawn = turnRows.get(turn.turn_id);
  const begun = turn.started_at ? ago(turn.started_at) : "–";
  const as = `${turn.state} ${begun} ${turn.finished_at}`;
  if (drawn?.as === as) return drawn.row;
  const took =
    turn.started_at && turn.finished_at
      ? duration((Date.parse(turn.finished_at) - Date.parse(turn.started_at)) / 1000)
      : "–";
  const tokens = turn.usage ? `${number(turn.usage.input_tokens)} / ${number(turn.usage.output_tokens)}` : "–";
  const state = h(
    "span",
    { class: `turn-state ${turn.state}` },
    MARKS[turn.state] ? icon(MARKS[turn.state]) : null,
    turn.state.replaceAll("_", " "),
  );
  const row = h(
    "tr",
    { title: turn.turn_id },
    h("td", {}, state),
    h("td", {}, turn.started_at ? time(turn.started_at) : "–"),
    h("td", {}, took),
    h("td", {}, tokens),
  );
  turnRows.set(turn.turn_id, { as, row });
  return row;
}
