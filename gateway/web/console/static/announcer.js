// The arriving reply for those who hear the page: whole sentences, a few at a time, never word by word.

import { byId, h } from "./dom.js";

const PAUSE_SECONDS = 3;

const log = byId("announcer");
let said = 0;
let timer = 0;
let latest = "";

export function announce(text) {
  log.append(h("p", {}, text));
  while (log.children.length > 5) log.firstChild.remove();
}

export function beginReply() {
  clearTimeout(timer);
  timer = said = 0;
  latest = "";
}

/** The reply as far as it is there; `ended` says the rest. */
export function sayReply(text, ended = false) {
  latest = text;
  if (ended) {
    clearTimeout(timer);
    timer = 0;
    flush(latest.length);
  } else timer ||= setTimeout(pause, PAUSE_SECONDS * 1000);
}

function pause() {
  timer = 0;
  const sentences = /^[\s\S]*[.!?:](?=\s)/.exec(latest.slice(said));
  if (sentences) flush(said + sentences[0].length);
}

function flush(end) {
  const text = latest.slice(said, end).trim();
  said = end;
  if (text) announce(text);
}
