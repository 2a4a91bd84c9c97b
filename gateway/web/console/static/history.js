// The hosted history of the open session: the newest page, earlier ones on demand.

import { ApiError, ask, sessionPath } from "./api.js";
import { arrange, byId } from "./dom.js";
import { buildItem } from "./items.js";
import { keepingPlace, toNewest } from "./scrolling.js";

const PAGE = 40;

const list = byId("history");
let of = null; // the session that is shown
let items = null; // oldest first; null until the first page is there
let nodes = new Map();
let names = new Map();

export function openHistory(sessionId) {
  of = sessionId;
  items = null;
  nodes = new Map();
  names = new Map();
  list.replaceChildren();
  byId("earlier").hidden = true;
}

export const historyItems = () => items;

const page = (sessionId, after) =>
  ask(
    "GET",
    sessionPath(sessionId, `/items?order=desc&limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ""}`),
  );

/** Shows what is there now. `alongside` changes the page in the same moment. */
export async function refreshHistory(alongside = () => {}) {
  const sessionId = of;
  const { data } = await page(sessionId).catch((error) => {
    // A conversation that the provider lost has nothing to show; the next message says what can be done.
    if (error instanceof ApiError && [404, 410].includes(error.status)) return { data: { data: [], has_more: false } };
    throw error;
  });
  if (sessionId !== of) return;
  const first = items === null;
  const newest = data.data.toReversed();
  const at = first || !newest.length ? -1 : items.findIndex((item) => item.id === newest[0].id);
  if (at < 0) byId("earlier").hidden = !data.has_more;
  items = [...(at > 0 ? items.slice(0, at) : []), ...newest];
  keepingPlace(() => {
    draw();
    alongside();
  });
  if (first) toNewest();
}

async function showEarlier() {
  const sessionId = of;
  const button = byId("earlier");
  button.disabled = true;
  try {
    const { data } = await page(sessionId, items[0].id);
    if (sessionId !== of) return;
    items = [...data.data.toReversed(), ...items];
    button.hidden = !data.has_more;
    keepingPlace(draw, { above: true });
  } finally {
    button.disabled = false;
  }
}

function draw() {
  const shown = new Map();
  for (const item of items) shown.set(item.id, nodes.get(item.id) || buildItem(item, names));
  nodes = shown;
  arrange(list, [...shown.values()]);
}

byId("earlier").addEventListener("click", () => showEarlier().catch(() => {}));
