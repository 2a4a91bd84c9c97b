// What stands in the way of a turn, in a box below the conversation: what happened, what to do, and buttons that do it.

import { advise } from "./advice.js";
import { announce } from "./announcer.js";
import { h } from "./dom.js";
import { count } from "./format.js";

// What would only fail again as it is.
const UNCHANGED = [
  "user_mismatch",
  "body_too_large",
  "provider_rejected",
  "context_length_exceeded",
  "forbidden",
  "session_not_found",
];

const button = (text, act, kind = "") =>
  h("button", { type: "button", class: `button ${kind}`, onclick: () => act() }, text);

export function failureNotice(error, { again, cancelCalls, edit, dismiss }) {
  const ways = {
    conversation_gone: ["Go on with a new conversation", () => again({ on_lost: "restart" })],
    tool_output_missing: ["Cancel the calls and send", cancelCalls],
  };
  const [text, act] = ways[error.code] || ["Send again", again];
  const offers = [
    UNCHANGED.includes(error.code) ? null : button(text, act, "primary"),
    edit && button("Edit the message", edit),
    button("Dismiss", dismiss),
  ];
  announce(`${error.message} ${advise(error)}`);
  return h(
    "div",
    { class: "notice bad" },
    h("p", {}, h("strong", {}, error.message)),
    h("p", {}, advise(error)),
    h("div", { class: "offers" }, offers),
  );
}

export function toolOutputForm(calls, { send, cancel }) {
  const field = (call) => {
    const text = h("textarea", { class: "code", rows: "2", name: call.call_id, spellcheck: "false" });
    return h("label", {}, `Output of ${call.name}`, text);
  };
  const submit = h("button", { type: "submit", class: "button primary" }, "Send the output");
  const form = h(
    "form",
    { class: "notice" },
    h("p", {}, h("strong", {}, `The model waits for ${count(calls.length, "tool output")}.`)),
    calls.map(field),
    h("div", { class: "offers" }, submit, button("Cancel the calls", cancel)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const said = new FormData(form);
    send(calls.map(({ type, call_id }) => ({ type: `${type}_output`, call_id, output: said.get(call_id) })));
  });
  return form;
}
