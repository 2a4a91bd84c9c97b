// How the page is built: out of nodes. Text is only ever put in as text; there is no way here to put in markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `on…` attributes are listeners; null, undefined and false ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  // One by one: a call takes only so many at once.
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

export const byId = (id) => document.getElementById(id);

/** Writes only what has changed: nothing flickers, nothing is read out twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes the children of `parent` these nodes, in this order, moving as few as can be. The focus stays where it was. */
export function arrange(parent, nodes) {
  const focused = document.activeElement;
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = null;
  for (const node of nodes.toReversed()) {
    if (node.parentNode !== parent || node.nextSibling !== next) parent.insertBefore(node, next);
    next = node;
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/** A short message that goes by itself, read out politely. */
export function toast(text) {
  const node = h("p", { class: "toast" }, text);
  byId("toasts").append(node);
  setTimeout(() => node.remove(), 6000);
}

/** What the browser keeps between visits; nothing is kept where it cannot be. */
export const kept = {
  get(name, fallback = null) {
    try {
      return JSON.parse(localStorage.getItem(`gateway.${name}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`gateway.${name}`, JSON.stringify(value));
    } catch {
      // A private window: the choice lasts as long as the page.
    }
  },
};
