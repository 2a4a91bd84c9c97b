// One message's way to its reply. It goes on when another session is opened, and no hang-up loses it: who no longer
// reads the stream looks at the turn's record until there is an end.

import { ApiError, AwayError, ask, sessionPath, stream, withUser } from "./api.js";

const LOOK_SECONDS = 1.5;
const OPEN = ["waiting", "running"];

const exchanges = new Map(); // session id → its exchange
let keysWork = true; // a workflow of one's own takes no Idempotency-Key

export const exchangeOf = (sessionId) => exchanges.get(sessionId);

export class Exchange {
  state = "waiting"; // → thinking → arriving → done, or failed; left: nobody reads along
  words = "";
  turnId = null;
  reply = null;
  error = null;
  #controller = null;
  #changed;

  /** `input` is a text, or a list of items. `changed` is called whenever there is something new to show. */
  constructor(sessionId, input, changed) {
    this.sessionId = sessionId;
    this.input = input;
    this.#changed = changed;
    exchanges.set(sessionId, this);
    this.#renew();
  }

  get text() {
    return typeof this.input === "string" ? this.input : null;
  }

  get isOpen() {
    return this.state !== "done" && this.state !== "failed";
  }

  /** Sends it; once more after a failure, and then it is not run twice. `options` are further fields of the request. */
  async run(options = {}) {
    if (Object.keys(options).length) this.#renew();
    Object.assign(this, {
      state: "waiting",
      words: "",
      error: null,
      turnId: null,
      startedAt: performance.now(),
      firstWordAt: null,
    });
    this.#controller = new AbortController();
    this.#changed(this);
    const input = this.text === null ? { input: this.input } : { input_as_text: this.text };
    const headers = keysWork ? { "Idempotency-Key": this.key } : {};
    try {
      const body = { session_id: this.sessionId, ...input, stream: true, ...options };
      for await (const [name, data] of stream(withUser(this.sessionId, "workflow"), {
        body,
        headers,
        signal: this.#controller.signal,
      }))
        this.#take(name, data);
      if (this.isOpen) await this.#follow(false);
    } catch (error) {
      if (error.code === "idempotency_unsupported" && keysWork) {
        keysWork = false;
        return this.run(options);
      }
      if (error instanceof AwayError || error.name === "AbortError") await this.#follow(error.name === "AbortError");
      else this.#fail(error);
    }
  }

  /** Reads no further. The turn goes on; its end is shown when it is there. */
  stop() {
    this.#controller?.abort();
  }

  drop() {
    if (exchanges.get(this.sessionId) === this) exchanges.delete(this.sessionId);
    this.#changed(this);
  }

  #renew() {
    const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
    this.key = `console-${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }

  #take(name, data) {
    if (name === "error") throw new ApiError(data.error.status, data.error, data.error.retry_after);
    if (name === "session") {
      this.turnId = data.turn_id;
      this.state = "thinking";
    } else if (name === "delta") {
      this.firstWordAt ??= performance.now();
      this.words += data.text;
      this.state = "arriving";
    } else if (name === "done") {
      this.#end(data);
    }
    this.#changed(this);
  }

  #end(reply) {
    this.reply = reply;
    this.endedAt = performance.now();
    this.words = reply.output_text ?? this.words;
    this.state = "done";
  }

  #fail(error) {
    this.error = error;
    this.state = "failed";
    this.#changed(this);
  }

  async #follow(onPurpose) {
    this.state = "left";
    this.onPurpose = onPurpose;
    this.#changed(this);
    while (this.isOpen) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_SECONDS * 1000));
      try {
        await this.#look();
      } catch (error) {
        if (error instanceof ApiError && error.status < 500 && error.status !== 429) return this.#fail(error);
      }
    }
  }

  async #look() {
    if (this.turnId === null) return this.#lookForAny();
    const { data } = await ask("GET", sessionPath(this.sessionId, `/turns/${encodeURIComponent(this.turnId)}`)).catch(
      (error) => {
        if (error.status === 404) return { data: { state: "lost" } };
        throw error;
      },
    );
    if (OPEN.includes(data.state)) return;
    if (data.state === "failed")
      return this.#fail(
        new ApiError(502, { code: "turn_failed", message: "The turn failed while nobody read along." }),
      );
    if (data.state === "lost")
      return this.#fail(new ApiError(409, { code: "turn_cut_off", message: "The turn was cut off." }));
    this.#end(data);
    this.#changed(this);
  }

  /** It was left before the turn had a name: there is an end once no turn of the session is open. */
  async #lookForAny() {
    const { data } = await ask("GET", sessionPath(this.sessionId, "/turns?limit=20")).catch((error) => {
      if (error.status === 404) return { data: { data: [] } };
      throw error;
    });
    if (data.data.some((turn) => OPEN.includes(turn.state))) return;
    if (!this.onPurpose)
      return this.#fail(
        new ApiError(0, {
          code: "unheard",
          message: "The connection broke before the gateway said that it has the message.",
        }),
      );
    this.state = "done";
    this.#changed(this);
  }
}
