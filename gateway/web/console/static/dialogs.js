// Dialogs: the browser keeps the focus inside, Esc closes them, and the focus goes back to where it was.

import { byId } from "./dom.js";

/** Opens a dialog. One with a form is filled by `fill`, and closes when `submit` has succeeded. */
export function openDialog(name, { fill, submit } = {}) {
  const dialog = byId(`dialog-${name}`);
  if (dialog.open) return;
  const form = dialog.querySelector("form");
  if (form) {
    form.reset();
    problem(form, "");
    fill?.(form.elements);
    form.onsubmit = (event) => {
      event.preventDefault();
      run(dialog, form, submit);
    };
  }
  dialog.showModal();
}

async function run(dialog, form, submit) {
  const button = form.querySelector("[type=submit]");
  if (button.disabled) return;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  problem(form, "");
  try {
    await submit(new FormData(form), form.elements);
    dialog.close();
  } catch (error) {
    problem(form, error.advice || error.message);
    form.elements[error.details?.param]?.focus?.();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

function problem(form, text) {
  const node = form.querySelector(".problem");
  node.textContent = text;
  node.hidden = !text;
}

/** A text of a form's field, or undefined when it was left empty. */
export const given = (data, name) => data.get(name)?.trim() || undefined;

document.addEventListener("click", (event) => {
  const dialog = event.target.closest("dialog");
  if (!dialog) return;
  if (event.target.closest("[data-close]")) dialog.close();
  // A click beside it: the dialog itself is hit only outside of its box.
  else if (event.target === dialog && dialog.dataset.stays === undefined && outside(dialog, event)) dialog.close();
});

function outside(dialog, { clientX, clientY }) {
  const box = dialog.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}
