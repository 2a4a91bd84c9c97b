// Editing a session's data or metadata as JSON, together with others who do: only what was changed here is written,
// and only onto what was read.

import { ask, sessionPath } from "./api.js";
import { h, setText, toast } from "./dom.js";

export class JsonEditor {
  #base = null; // what is edited: { value, etag }; null while nobody edits
  #session = null;
  #etag = "";
  #edited = () => {};

  constructor(section, field, title) {
    this.field = field;
    this.shown = h("pre", { class: "json", tabindex: "0" }, h("code"));
    this.begin = h("button", { type: "button", class: "button small", onclick: () => this.#edit() }, "Edit");
    this.begin.setAttribute("aria-label", `Edit ${title.toLowerCase()}`);
    this.text = h("textarea", { class: "code", rows: "6", spellcheck: "false", "aria-label": `${title} as JSON` });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.save = h("button", { type: "submit", class: "button small primary" }, "Save");
    const cancel = h("button", { type: "button", class: "button small", onclick: () => this.close(true) }, "Cancel");
    this.form = h(
      "form",
      { class: "editor", hidden: true, onsubmit: (event) => this.#submit(event) },
      this.text,
      this.problem,
      h("div", { class: "offers" }, cancel, this.save),
    );
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close(true);
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    section.append(
      h("div", { class: "section-head" }, h("h3", { id: `${field}-title` }, title), this.begin),
      this.shown,
      this.form,
    );
  }

  draw(session, etag, edited) {
    this.#session = session;
    this.#etag = etag;
    this.#edited = edited;
    this.begin.disabled = session.status === "erasing";
    const value = session[this.field];
    setText(this.shown.firstChild, Object.keys(value).length ? JSON.stringify(value, null, 2) : "Nothing yet.");
  }

  close(focus = false) {
    this.#base = null;
    this.form.hidden = true;
    this.shown.hidden = this.begin.hidden = false;
    if (focus) this.begin.focus();
  }

  #edit() {
    this.#base = { value: this.#session[this.field], etag: this.#etag };
    this.text.value = JSON.stringify(this.#base.value, null, 2);
    this.#say("");
    this.form.hidden = false;
    this.shown.hidden = this.begin.hidden = true;
    this.text.focus();
  }

  async #submit(event) {
    event.preventDefault();
    const wanted = parse(this.text.value);
    if (!wanted)
      return this.#say(
        'This is no JSON object, such as {"plan": "beginner"}. A null cannot be kept: leave its key out.',
      );
    this.save.disabled = true;
    try {
      // Data is merged by the gateway; metadata is replaced as a whole.
      const body = { [this.field]: this.field === "data" ? changes(this.#base.value, wanted) : wanted };
      const answer = await ask("PATCH", sessionPath(this.#session.session_id), {
        body,
        headers: { "If-Match": this.#base.etag },
      });
      this.close(true);
      this.#edited(answer);
      toast("Saved.");
    } catch (error) {
      if (error.code === "version_mismatch") await this.#rebase();
      else this.#say(error.message);
    } finally {
      this.save.disabled = false;
    }
  }

  /** Somebody else has edited it. Their version becomes the base, with what was changed here on top of it. */
  async #rebase() {
    const { data: session, etag } = await ask("GET", sessionPath(this.#session.session_id));
    const theirs = session[this.field];
    const ours = changes(this.#base.value, parse(this.text.value));
    const touched = Object.keys(changes(this.#base.value, theirs));
    this.#base = { value: theirs, etag };
    const merged = Object.fromEntries(Object.entries({ ...theirs, ...ours }).filter(([, value]) => value !== null));
    this.text.value = JSON.stringify(merged, null, 2);
    const what = touched.length ? `: ${touched.join(", ")}` : "";
    const next = "Your changes are on top of theirs now: look, and save again.";
    this.#say(`Somebody else has changed this session meanwhile${what}. ${next}`);
  }

  #say(text) {
    this.problem.hidden = !text;
    setText(this.problem, text);
  }
}

/** The object, or null when the text is none that can be kept. */
function parse(text) {
  try {
    const value = JSON.parse(text || "{}");
    const fits =
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((each) => each !== null);
    return fits ? value : null;
  } catch {
    return null;
  }
}

/** What leads from one object to the other in a merge: null removes a key. */
function changes(from, to) {
  const found = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) found[key] = null;
  for (const [key, value] of Object.entries(to)) {
    if (JSON.stringify(from[key]) !== JSON.stringify(value)) found[key] = value;
  }
  return found;
}
