// Markdown as nodes: the part of it that models write. Nothing in it can become markup, run, or load anything, and
// whatever is written, reading it takes as long as the text is: no pattern here looks at the same words again and again.

import { h } from "./dom.js";

const DEEPEST = 20; // quotes and lists within one another; what lies deeper is one paragraph
const LONGEST = 20000; // a longer paragraph stays plain: a browser takes too long to lay out all its marks
const WIDEST = 500; // a row of more cells is no table's, for the same reason

const BULLET = /^( {0,12})([-*+]|\d{1,9}[.)])\s+(.*)$/s;
const FENCE = /^ {0,3}(`{3,}|~{3,}(?!~))([^`]*)$/;
const HEADING = /^(#{1,6})\s(.*)$/s;
const RULE = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const QUOTE = /^ {0,3}> ?(.*)$/s;
const TABLE_RULE = /^:?-+:?$/; // of each cell

/** Makes `container` show `text`. Blocks that are as they were stay the same nodes, so that words can keep arriving. */
export function renderMarkdown(container, text) {
  const blocks = parse(text.split(/\r?\n/));
  let there = container.firstChild;
  for (const block of blocks) {
    if (there?.source !== block.source) {
      const node = build(block);
      node.source = block.source;
      if (there) there.replaceWith(node);
      else container.append(node);
      there = node;
    }
    there = there.nextSibling;
  }
  while (there) {
    const gone = there;
    there = there.nextSibling;
    gone.remove();
  }
}

function parse(lines, depth = 0) {
  if (depth > DEEPEST) return [{ kind: "paragraph", text: lines.join("\n") }];
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    const from = at;
    const block = take(lines, at, depth);
    at = block.end;
    if (block.kind) blocks.push({ ...block, source: block.kind + lines.slice(from, at).join("\n") });
  }
  return blocks;
}

/** The block that begins at this line, and the line after it. */
function take(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return { end: at + 1 };
  let found = FENCE.exec(line);
  if (found) {
    const closing = new RegExp(`^ {0,3}${found[1][0]}{${found[1].length},}\\s*$`);
    let end = at + 1;
    while (end < lines.length && !closing.test(lines[end])) end++;
    return {
      kind: "code",
      language: /^\S*/.exec(found[2].trim())[0],
      text: lines.slice(at + 1, end).join("\n"),
      end: Math.min(end + 1, lines.length),
    };
  }
  found = HEADING.exec(line);
  if (found) return { kind: "heading", level: found[1].length, text: headingText(found[2]), end: at + 1 };
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (QUOTE.test(line)) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end])) end++;
    const quoted = lines.slice(at, end).map((each) => QUOTE.exec(each)[1]);
    return { kind: "quote", blocks: parse(quoted, depth + 1), end };
  }
  if (BULLET.test(line)) return takeList(lines, at, depth);
  if (isRow(line) && lines[at + 1] && cells(lines[at + 1]).every((cell) => TABLE_RULE.test(cell))) {
    let end = at + 2;
    while (end < lines.length && isRow(lines[end])) end++;
    return { kind: "table", rows: [line, ...lines.slice(at + 2, end)].map(cells), end };
  }
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines[end])) end++;
  return { kind: "paragraph", text: lines.slice(at, end).join("\n"), end };
}

const begins = (line) => [FENCE, HEADING, RULE, QUOTE, BULLET].some((form) => form.test(line));

/** Without the marks that may close a heading. */
function headingText(text) {
  let end = text.length;
  while (text[end - 1] === "#") end--;
  return text.slice(0, end).trim();
}

const cells = (row) =>
  row
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

const isRow = (line) => line.includes("|") && cells(line).length <= WIDEST;

function takeList(lines, at, depth) {
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
  const parsed = items.map((item) => parse(item, depth + 1));
  return { kind: "list", ordered, start: ordered ? parseInt(mark, 10) : 1, items: parsed, end };
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

const MARK = new RegExp(
  [
    /\\([\\`*_{}[\]()#+.!~|<>-])/, // an escaped mark
    /(?<!`)(`{1,8})(?!`)/, // code begins; every length has an end of its own, and nobody writes longer ones
    /(\*\*|~~)(?=\S)/, // strong or struck words begin
    /(!?\[)/, // a link begins, or a picture, which is not loaded
    /\*(?=[^\s*])([^*]*[^\s*])\*/,
    /(?<![\w_])_(?=[^\s_])([^_]*[^\s_])_(?![\w_])/,
    /(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]])/,
  ]
    .map((form) => form.source)
    .join("|"),
);
const CODE_ENDS = Array.from({ length: 8 }, (_, more) => new RegExp(`(?<!\`)\`{${more + 1}}(?!\`)`, "g"));
const PAIR_ENDS = { "**": /(?<=\S)\*\*/g, "~~": /(?<=\S)~~/g };
const LABEL_END = /\n|\](?:\(\s*<?([^\s<>()]+)>?(?:\s+"[^"\n]*")?\s*\))?/g;

function inline(text) {
  if (text.length > LONGEST) return [text];
  const nodes = [];
  const marks = new RegExp(MARK, "g");
  const next = searcher(text);
  let shown = 0;
  for (let found = marks.exec(text); found; found = marks.exec(text)) {
    const [node, end] = readMark(text, found, next);
    if (end) {
      nodes.push(text.slice(shown, found.index), node);
      shown = marks.lastIndex = end;
    } else marks.lastIndex = found.index + 1;
  }
  nodes.push(text.slice(shown));
  return nodes.filter((node) => node !== "");
}

/** What the mark stands for, and where that ends; nothing when it is only text. */
function readMark(text, found, next) {
  const [whole, escaped, ticks, pair, bracket, emphasis, underscored, address] = found;
  const at = found.index + whole.length;
  if (escaped) return [escaped, at];
  if (emphasis || underscored) return [h("em", {}, inline(emphasis || underscored)), at];
  if (address) return [link(address, [address], address), at];
  const form = ticks ? CODE_ENDS[ticks.length - 1] : pair ? PAIR_ENDS[pair] : LABEL_END;
  const closing = next(form, pair ? at + 1 : at);
  if (!closing || (bracket && !closing[1])) return [];
  const inner = text.slice(at, closing.index);
  const end = closing.index + closing[0].length;
  if (ticks) return [h("code", {}, inner.trim() || inner), end];
  if (pair) return [h(pair === "**" ? "strong" : "s", {}, inline(inner)), end];
  return [link(closing[1], inner ? inline(inner) : [closing[1]], text.slice(found.index, end)), end];
}

/** Finds where a form comes next. However often it is asked, a text is searched for each form once. */
function searcher(text) {
  const places = new Map();
  return (form, from) => {
    let place = places.get(form);
    if (place === undefined || place?.index < from) {
      form.lastIndex = from;
      place = form.exec(text);
      places.set(form, place);
    }
    return place;
  };
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
