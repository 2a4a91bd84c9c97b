// The keys. Single letters are keys only where nobody writes, and can be switched off.

import { newSession } from "./actions.js";
import { stopWaiting } from "./chat.js";
import { openDialog } from "./dialogs.js";
import { byId, kept } from "./dom.js";
import { focusOpen, moveFocus, refreshList } from "./list.js";
import { hasSession, lookAgain, perform, toggleDetails } from "./session.js";

const LETTERS = {
  "/": () => byId("prefix").select(),
  n: () => newSession(lookAgain),
  "?": () => openDialog("keys"),
  c: () => hasSession() && byId("message").focus(),
  d: () => hasSession() && toggleDetails(),
  m: () => perform("rename"),
  f: () => perform("fork"),
  r: () => perform("reset"),
  t: () => perform("transcript"),
  x: () => perform("erase"),
};

const single = byId("single-keys");
single.checked = kept.get("keys", true);
single.addEventListener("change", () => kept.set("keys", single.checked));

const writes = (node) => node.matches?.("input:not([type=checkbox], [type=radio]), textarea, select");

document.addEventListener("keydown", (event) => {
  if (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    document.querySelector("dialog[open]")
  )
    return;
  const { target, key } = event;
  const act =
    key === "Escape"
      ? () => escape(target)
      : arrows(target)[key] || (!writes(target) && single.checked && LETTERS[key]);
  if (!act) return;
  event.preventDefault();
  act();
});

/** Up and down move in the list from everywhere where they have no other use. */
function arrows(target) {
  const inSearch = target.id === "prefix";
  if (inSearch) return { ArrowDown: () => moveFocus(0) };
  if (writes(target) || target.id === "scroll" || target.id === "details" || target.closest("pre, .table")) return {};
  return { ArrowDown: () => moveFocus(1), ArrowUp: () => moveFocus(-1) };
}

function escape(target) {
  if (stopWaiting()) return;
  if (target.id === "prefix" && target.value) {
    target.value = "";
    refreshList();
  } else focusOpen();
}
