// Whether the gateway is there. While it is not, a banner says so, and it is asked again and again, ever more seldom.

import { hooks } from "./api.js";
import { byId, setText } from "./dom.js";

const FIRST = 1;
const LONGEST = 15;

class Connection extends EventTarget {
  away = false;
  #wait = FIRST;
  #timer = 0;
  #troubles = new Map();

  /** A request got no answer. */
  lost() {
    if (this.away) return;
    this.away = true;
    this.#wait = FIRST;
    this.#show();
    this.#later();
  }

  found() {
    if (!this.away) return;
    this.away = false;
    clearTimeout(this.#timer);
    this.#show();
    this.dispatchEvent(new Event("back"));
  }

  /** The gateway is there, but this look at it fails. */
  trouble(who, error) {
    this.#troubles.set(who, error);
    this.#show();
  }

  fine(who) {
    if (this.#troubles.delete(who)) this.#show();
  }

  async ping() {
    clearTimeout(this.#timer);
    try {
      const answer = await fetch("healthz", { cache: "no-store" });
      if (answer.ok) return this.found();
    } catch {
      // Still away.
    }
    this.#wait = Math.min(this.#wait * 2, LONGEST);
    this.#later();
  }

  #later() {
    if (this.away) this.#timer = setTimeout(() => this.ping(), this.#wait * 1000);
  }

  #show() {
    const [error] = this.#troubles.values();
    const text = this.away
      ? "The gateway does not answer. As soon as it is back, this page goes on by itself."
      : error?.message && `${error.message} Trying again.`;
    byId("banner").hidden = !text;
    if (text) setText(byId("banner-text"), text);
  }
}

export const connection = new Connection();

hooks.away = () => connection.lost();
hooks.answered = () => connection.found();
addEventListener("online", () => connection.away && connection.ping());
document.addEventListener("visibilitychange", () => !document.hidden && connection.away && connection.ping());
byId("banner-now").addEventListener("click", () => {
  connection.ping();
  connection.dispatchEvent(new Event("back"));
});
