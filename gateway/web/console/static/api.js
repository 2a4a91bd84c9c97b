// The gateway's public API. Paths are relative to the page, so that the console also works below a proxy's prefix.

/** An error that the gateway answered with. */
export class ApiError extends Error {
  constructor(status, error, retryAfter) {
    super(error.message || `The gateway answered ${status}.`);
    this.status = status;
    this.code = error.code || "";
    this.details = error;
    this.retryAfter = retryAfter;
  }
}

/** No answer: the gateway is not there, or what lies before it cannot reach it. */
export class AwayError extends Error {
  constructor() {
    super("The gateway does not answer.");
  }
}

/** Who is asked for help: `login` returns a promise of a credential; `answered` and `away` tell of the connection. */
export const hooks = { login: null, answered() {}, away() {} };

/** session id → the user whose session it is, where an admin reaches it under that user's name. */
export const reached = new Map();

export function sessionPath(sessionId, rest = "") {
  return withUser(sessionId, `sessions/${encodeURIComponent(sessionId)}${rest}`);
}

export function withUser(sessionId, path) {
  const userId = reached.get(sessionId);
  return userId === undefined ? path : `${path}${path.includes("?") ? "&" : "?"}user_id=${encodeURIComponent(userId)}`;
}

/** Asks, once more after each login. Returns the answer as fetch gives it, or throws one of the errors above. */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  for (;;) {
    const options = { method, signal, headers: { Accept: "application/json", ...headers } };
    if (body !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      hooks.away();
      throw new AwayError();
    }
    if (answer.ok) {
      hooks.answered();
      return answer;
    }
    const error = await readError(answer);
    if (answer.status !== 401 || !hooks.login) throw error;
    await hooks.login();
  }
}

/** The same, when the answer is JSON. */
export async function ask(method, path, options) {
  const answer = await send(method, path, options);
  return { status: answer.status, etag: answer.headers.get("ETag"), data: await readJson(answer) };
}

async function readJson(answer) {
  try {
    return answer.status === 204 ? null : await answer.json();
  } catch {
    hooks.away();
    throw new AwayError();
  }
}

async function readError(answer) {
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  const found = await answer.json().catch(() => null);
  if (found?.error?.code) {
    hooks.answered();
    return new ApiError(answer.status, found.error, retryAfter);
  }
  if (answer.status >= 500) {
    // A proxy's own page: the gateway behind it is away.
    hooks.away();
    return new AwayError();
  }
  return new ApiError(answer.status, {}, retryAfter);
}

/** The events of a streamed turn: [name, data]. Ends when the stream does, whether or not it was complete. */
export async function* stream(path, options) {
  const answer = await send("POST", path, { ...options, headers: { ...options.headers, Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        return { done: true };
      });
      if (done) return;
      rest += value;
      if (!value.includes("\n")) continue; // a long event in many pieces is looked through once
      const frames = rest.split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const event = parseFrame(frame);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseFrame(frame) {
  let name = "";
  let data = "";
  for (const line of frame.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return name && [name, JSON.parse(data)];
}
