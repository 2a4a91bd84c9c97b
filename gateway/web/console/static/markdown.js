// Markdown as nodes: the part of it that models write. Nothing in it can become markup, run, or load anything.

import { h } from "./dom.js";

const LONGEST = 20000; // a longer paragraph stays plain: its marks would take too long to match up

const BULLET = /^( {0,12})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Makes `container` show `text`. Blocks that are as they were stay the same nodes, so that words can keep arriving. */
export function renderMarkdown(container, text) {
  const blocks = parse(text.split(/\r?\n/));
  blocks.forEach((block, index) => {
    const there = container.children[index];
    if (there?.source === block.source) return;
    const node = build(block);
    node.source = block.source;
    if (there) there.replaceWith(node);
    else container.append(node);
  });
  while (container.children.length > blocks.length) container.lastChild.remove();
}

function parse(lines) {
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    const from = at;
    const block = take(lines, at);
    at = block.end;
    if (block.kind) blocks.push({ ...block, source: block.kind + lines.slice(from, at).join("\n") });
  }
  return blocks;
}

/** The block that begins at this line, and the line after it. */
function take(lines, at) {
  const line = lines[at];
  if (!line.trim()) return { end: at + 1 };
  let found = FENCE.exec(line);
  if (found) {
    const closing = new RegExp(`^ {0,3}${found[1][0]}{${found[1].length},}\\s*$`);
    let end = at + 1;
    while (end < lines.length && !closing.test(lines[end])) end++;
    return {
      kind: "code",
      language: found[2],
      text: lines.slice(at + 1, end).join("\n"),
      end: Math.min(end + 1, lines.length),
    };
  }
  found = HEADING.exec(line);
  if (found) return { kind: "heading", level: found[1].length, text: found[2], end: at + 1 };
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (QUOTE.test(line)) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end])) end++;
    return { kind: "quote", blocks: parse(lines.slice(at, end).map((quoted) => QUOTE.exec(quoted)[1])), end };
  }
  if (BULLET.test(line)) return takeList(lines, at);
  if (line.includes("|") && lines[at + 1]?.includes("-") && TABLE_RULE.test(lines[at + 1])) {
    let end = at + 2;
    while (end < lines.length && lines[end].includes("|")) end++;
    return { kind: "table", rows: [line, ...lines.slice(at + 2, end)].map(cells), end };
  }
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines[end])) end++;
  return { kind: "paragraph", text: lines.slice(at, end).join("\n"), end };
}

const begins = (line) => [FENCE, HEADING, RULE, QUOTE, BULLET].some((form) => form.test(line));

const cells = (row) =>
  row
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

function takeList(lines, at) {
  const [, { length: indent }, mark] = BULLET.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const found = BULLET.exec(lines[end]);
    if (found && found[1].length <= indent + 1 && /\d/.test(found[2]) === ordered && found[1].length >= indent) {
      items.push([found[3]]);
    } else if (lines[end].trim() && /^\s/.test(lines[end]) && lines[end].search(/\S/) > indent) {
      items.at(-1).push(lines[end].slice(Math.min(lines[end].search(/\S/), indent + mark.length + 1)));
    } else if (!lines[end].trim() && continues(lines[end + 1], indent, ordered)) {
      items.at(-1).push("");
    } else break;
    end++;
  }
  return { kind: "list", ordered, start: ordered ? parseInt(mark, 10) : 1, items: items.map(parse), end };
}

function continues(line, indent, ordered) {
  if (!line?.trim()) return false;
  const found = BULLET.exec(line);
  return (
    line.search(/\S/) > indent || (found !== null && found[1].length === indent && /\d/.test(found[2]) === ordered)
  );
}

function build(block) {
  switch (block.kind) {
    case "code":
      return h("pre", { tabindex: "0" }, h("code", { "data-language": block.language || null }, block.text));
    case "heading":
      return h(
        "p",
        { class: "heading", role: "heading", "aria-level": Math.min(block.level + 2, 6) },
        inline(block.text),
      );
    case "rule":
      return h("hr");
    case "quote":
      return h("blockquote", {}, block.blocks.map(build));
    case "table": {
      const [head, ...rows] = block.rows;
      const row = (tag) => (texts) =>
        h(
          "tr",
          {},
          texts.map((text) => h(tag, {}, inline(text))),
        );
      return h(
        "div",
        { class: "table", tabindex: "0" },
        h("table", {}, h("thead", {}, row("th")(head)), h("tbody", {}, rows.map(row("td")))),
      );
    }
    case "list": {
      const lone = (blocks) =>
        blocks
          .map((inner, index) => (index === 0 && inner.kind === "paragraph" ? inline(inner.text) : build(inner)))
          .flat();
      const items = block.items.map((blocks) => h("li", {}, lone(blocks)));
      return block.ordered ? h("ol", { start: block.start }, items) : h("ul", {}, items);
    }
    default:
      return h("p", {}, inline(block.text));
  }
}

const INLINE = new RegExp(
  [
    /\\([\\`*_{}[\]()#+.!~|<>-])/, // an escaped mark
    /(`+)([\s\S]*?[^`])\2(?!`)/, // code
    /\*\*(?=\S)([\s\S]*?\S)\*\*/,
    /~~(?=\S)([\s\S]*?\S)~~/,
    /\*(?=[^\s*])([^*]*[^\s*])\*/,
    /(?<![\w_])_(?=[^\s_])([^_]*[^\s_])_(?![\w_])/,
    /!?\[([^\]\n]*)\]\(\s*<?([^\s<>()]+)>?(?:\s+"[^"\n]*")?\s*\)/, // a link, or a picture, which is not loaded
    /(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]])/,
  ]
    .map((form) => form.source)
    .join("|"),
  "g",
);

function inline(text) {
  if (text.length > LONGEST) return [text];
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, found.index));
    at = found.index + found[0].length;
    const [whole, escaped, , code, strong, struck, emphasis, underscored, label, target, address] = found;
    if (escaped) nodes.push(escaped);
    else if (code) nodes.push(h("code", {}, code.trim() || code));
    else if (strong) nodes.push(h("strong", {}, inline(strong)));
    else if (struck) nodes.push(h("s", {}, inline(struck)));
    else if (emphasis || underscored) nodes.push(h("em", {}, inline(emphasis || underscored)));
    else nodes.push(link(target || address, label ? inline(label) : [target || address], whole));
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

/** A link that leads to another page; whatever else it would do, it stays the text that it was. */
export function link(address, content, otherwise) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return otherwise;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return otherwise;
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, content);
}
