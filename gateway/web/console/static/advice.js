// What to do about each error that a turn can end with, in a sentence; and what the page offers to do.

import { duration } from "./format.js";

const ADVICE = {
  turn_busy: "It took longer than a message may wait. Send again: it takes its place in the queue.",
  queue_full: "Send again in a moment.",
  tool_output_missing: "Send the output below, or cancel the call.",
  user_mismatch: "Open it as that user, or begin another session.",
  turn_lost: "Look at the conversation before you send it again.",
  conversation_gone: "What was said is lost. The session can go on with a new conversation.",
  context_length_exceeded: "Reset the session, or begin another one.",
  provider_rejected: "Change the message, and send it again.",
  body_too_large: "Send less of it.",
  rate_limited: "Send again a little later.",
  provider_rate_limited: "Send again a little later.",
  insufficient_quota: "Whoever pays for the account has to act.",
  provider_error: "Send again; if it stays like this, look at the provider's own status.",
  provider_unavailable: "Send again in a moment.",
  provider_timeout: "The turn may have taken place: look at the conversation, then send again.",
  store_unavailable: "Send again when it is back.",
  shutting_down: "Send again: another one takes it.",
  turn_failed: "Send again.",
  turn_cut_off: "Send again: what took place already is not run twice.",
  unheard: "Send again: if it did arrive, it is not run twice.",
  forbidden: "This key may not do that. Log out, and in with another one.",
  session_not_found: "It was erased, has expired, or was renamed.",
};

export function advise(error) {
  const wait = error.retryAfter ? ` Wait ${duration(error.retryAfter)}.` : "";
  return (ADVICE[error.code] || "Send again; if it stays like this, look into the gateway's log.") + wait;
}
