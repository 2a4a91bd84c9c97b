// Looking again and again, at little cost: never in a hidden tab, never twice at once, seldom while nothing changes.

import { AwayError } from "./api.js";
import { connection } from "./connection.js";

const SLOWEST = 60;

export class Poller {
  /** `work` is called every `seconds`, up to `slowest` while it returns false (nothing new). */
  constructor(work, seconds, slowest = seconds) {
    this.work = work;
    this.seconds = seconds;
    this.slowest = slowest;
    this.wait = seconds;
    this.running = false;
    this.timer = 0;
    this.round = null;
    this.again = false;
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
    connection.addEventListener("back", () => this.now());
  }

  start() {
    this.running = true;
    return this.now();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
    connection.fine(this);
  }

  /** Looks at once, unless it is stopped. A look that is under way is followed by another, so that what is new now is
   * seen. */
  now() {
    if (!this.running) return null;
    clearTimeout(this.timer);
    this.wait = this.seconds;
    this.again = this.round !== null;
    this.round ??= this.look();
    return this.round;
  }

  async look() {
    do {
      this.again = false;
      try {
        const news = await this.work();
        connection.fine(this);
        this.wait = news === false ? Math.min(this.wait * 1.25, this.slowest) : this.seconds;
      } catch (error) {
        if (!(error instanceof AwayError)) connection.trouble(this, error);
        this.wait = error.retryAfter || Math.min(this.wait * 2, SLOWEST);
      }
    } while (this.again && this.running);
    this.round = null;
    this.later();
  }

  /** A hidden tab and a gateway that is away have events of their own to go on with. */
  later() {
    if (!this.running || document.hidden || connection.away) return;
    this.timer = setTimeout(() => document.hidden || this.round || (this.round = this.look()), this.wait * 1000);
  }
}
