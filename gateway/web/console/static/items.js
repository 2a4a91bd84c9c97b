// The hosted history's items as a conversation: who speaks, what is said, which tools are called.

import { h, icon } from "./dom.js";
import { link, renderMarkdown } from "./markdown.js";

const SPEAKERS = { user: "User", assistant: "Assistant", system: "System", developer: "Developer" };
const ASKED = ["arguments", "input", "code", "action", "queries", "operation"];
const CAME = ["output", "outputs", "results", "error"];

/** `names` remembers what each call was called, for the output that follows it. */
export function buildItem(item, names) {
  const kind = item.type || "message";
  if (kind === "message") return buildMessage(item.role, contentOf(item.content));
  if (kind === "reasoning") return buildThoughts(item);
  if (kind.endsWith("_output")) {
    const name = names.get(item.call_id);
    return buildCard("output", name ? `Output of ${name}` : words(kind), parts(item.output));
  }
  const name = item.name || words(kind);
  if (item.call_id) names.set(item.call_id, name);
  const asked = ASKED.filter((field) => hasSomething(item[field])).map((field) => code(item[field]));
  const came = CAME.filter((field) => hasSomething(item[field])).map((field) => parts(item[field]));
  return buildCard("call", item.name ? `Call of ${name}` : name, [...asked, ...came.flat()]);
}

export function buildMessage(role, content) {
  const speaker = SPEAKERS[role] || words(String(role));
  return h(
    "li",
    { class: `item message ${role === "user" ? "from-user" : "from-others"}`, "data-role": role },
    h("span", { class: role === "user" ? "sr" : "speaker" }, speaker),
    h(
      "div",
      { class: "said" },
      content.map((part) => buildPart(part, role)),
    ),
  );
}

function buildPart(part, role) {
  if (part.note) return part.note;
  const node = h("div", { class: role === "user" ? "text plain" : "text" });
  if (role === "user") node.textContent = part.text;
  else renderMarkdown(node, part.text);
  return node;
}

function contentOf(content) {
  if (typeof content === "string") return [{ text: content }];
  return (Array.isArray(content) ? content : []).map((part) => {
    if (part.refusal) return { text: `Refused: ${part.refusal}` };
    if (typeof part.text === "string") return { text: part.text };
    if (part.type === "input_image" || part.type === "computer_screenshot") return { note: picture(part) };
    if (part.type === "input_file")
      return { note: attachment(`file ${part.filename || part.file_id || ""}`, part.file_url) };
    if (part.transcript) return { text: part.transcript };
    return { note: attachment(words(String(part.type)).toLowerCase()) };
  });
}

function picture({ image_url: address, file_id: fileId }) {
  if (/^data:image\/(png|jpeg|gif|webp);base64,/.test(address || ""))
    return h("img", { class: "picture", src: address, alt: "Picture in the message" });
  return attachment(`picture ${fileId || ""}`, address);
}

function attachment(name, address) {
  const text = name.trim();
  return h("p", { class: "attachment" }, address ? link(address, [text], text) : text);
}

function buildThoughts(item) {
  const texts = [...(item.summary || []), ...(item.content || [])].map((part) => part.text).filter(Boolean);
  if (!texts.length) return buildCard("thought", "Reasoning, not shown by the provider", []);
  const node = h("div", { class: "text" });
  renderMarkdown(node, texts.join("\n\n"));
  return buildCard("thought", "Reasoning", [node]);
}

const LONG = 600; // a longer card is opened by those who want to read it
const size = (content) => content.reduce((sum, node) => sum + node.textContent.length, 0);

const CARD_ICONS = { call: "tool", output: "check", thought: "thought" };

function buildCard(kind, title, content) {
  const head = [icon(CARD_ICONS[kind]), h("span", {}, title)];
  if (!content.length) return h("li", { class: `item card ${kind}` }, h("p", { class: "card-head" }, head));
  return h(
    "li",
    { class: `item card ${kind}` },
    h(
      "details",
      { open: kind !== "thought" && size(content) < LONG },
      h("summary", { class: "card-head" }, head),
      content,
    ),
  );
}

function parts(output) {
  if (Array.isArray(output) && output.every((part) => part?.type))
    return contentOf(output).map((part) => buildPart(part, "tool"));
  return [code(output)];
}

const DEEPEST = 20; // indented deeper, JSON becomes many times as long as it is

const isDeep = (value, depth = 0) =>
  typeof value === "object" &&
  value !== null &&
  (depth > DEEPEST || Object.values(value).some((inner) => isDeep(inner, depth + 1)));

/** JSON where it is JSON, indented; any other text as it is. */
function code(value) {
  let shown = value;
  try {
    const parsed = typeof value === "string" ? JSON.parse(value) : value;
    if (typeof parsed === "object") shown = JSON.stringify(parsed, null, isDeep(parsed) ? 0 : 2);
  } catch {
    // A text that is no JSON.
  }
  return h("pre", { tabindex: "0" }, h("code", {}, String(shown)));
}

const hasSomething = (value) =>
  value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length);

const words = (kind) => (kind.charAt(0).toUpperCase() + kind.slice(1)).replaceAll("_", " ");

/** The calls that still wait for their outputs, oldest first. */
export function pendingCalls(items) {
  const calls = new Map();
  for (const item of items) {
    if (item.type === "function_call" || item.type === "custom_tool_call") calls.set(item.call_id, item);
    else if (item.type?.endsWith("_output")) calls.delete(item.call_id);
  }
  return [...calls.values()];
}
