// What can be done with a session as a whole.

import { ask, sessionPath } from "./api.js";
import { given, openDialog } from "./dialogs.js";
import { byId, h, toast } from "./dom.js";
import { count, number } from "./format.js";

/** The address of a session; `userId` where an admin reaches it under that user's name. */
export function addressOf(sessionId, userId) {
  return `#${new URLSearchParams({ session: sessionId, ...(userId === undefined ? {} : { user: userId }) })}`;
}

export const goTo = (sessionId, userId) => {
  location.hash = sessionId ? addressOf(sessionId, userId) : "";
};

const ids = (data) => ({ session_id: given(data, "session_id"), user_id: given(data, "user_id") });

export function newSession(done, sessionId = "") {
  openDialog("new", {
    fill: (fields) => {
      fields.session_id.value = sessionId;
    },
    submit: async (form) => {
      const text = given(form, "data");
      const { status, data } = await ask("POST", "sessions", {
        body: { ...ids(form), data: text && parseObject(text) },
      });
      if (status === 200) toast(`${data.session_id} was there already.`);
      goTo(data.session_id);
      done();
    },
  });
}

function parseObject(text) {
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw Object.assign(new Error('Data must be a JSON object, such as {"plan": "beginner"}.'), {
    details: { param: "data" },
  });
}

/** `act[name](session, done)`: done(id) is called with the session that is to be shown, or null. */
export const act = {
  rename(session, done) {
    byId("rename-user").hidden = session.user_id !== null;
    openDialog("rename", {
      fill: (fields) => {
        fields.session_id.value = session.session_id;
        fields.session_id.select();
      },
      submit: async (form) => {
        const { data } = await ask("POST", sessionPath(session.session_id, "/rename"), { body: ids(form) });
        toast(`Renamed to ${data.session_id}.`);
        done(data.session_id);
      },
    });
  },

  fork(session, done) {
    openDialog("fork", {
      submit: async (form) => {
        const { data } = await ask("POST", sessionPath(session.session_id, "/fork"), { body: ids(form) });
        toast(`${count(data.items_copied, "item")} copied${skipped(data)}.`);
        done(data.session_id);
      },
    });
  },

  reset(session, done) {
    openDialog("reset", {
      submit: async (form) => {
        const body = { keep_history: form.get("keep_history") === "yes", erase_old: form.has("erase_old") };
        const { data } = await ask("POST", sessionPath(session.session_id, "/reset"), { body });
        const copied = body.keep_history ? `, ${count(data.items_copied, "item")} copied${skipped(data)}` : "";
        const became = { erased: "erased", erasing: "being erased", kept: "kept at the provider" };
        toast(`A new conversation${copied}. The old one is ${became[data.old_conversation]}.`);
        done(session.session_id);
      },
    });
  },

  transcript(session) {
    openDialog("transcript");
    for (const link of document.querySelectorAll("#dialog-transcript [data-format]")) {
      link.href = sessionPath(session.session_id, `/transcript?format=${link.dataset.format}`);
    }
  },

  erase(session, done) {
    openDialog("erase", {
      fill: (fields) => {
        drawLosses(session, false);
        fields.keep_conversation.onchange = () => drawLosses(session, fields.keep_conversation.checked);
        byId("dialog-erase").querySelector("[data-close]").setAttribute("autofocus", "");
      },
      submit: async (form) => {
        const { status, data } = await ask(
          "DELETE",
          sessionPath(session.session_id, form.has("keep_conversation") ? "?keep_conversation=true" : ""),
        );
        if (status === 202) {
          toast("The session takes no turns any more. What is left of it is being erased.");
          return done(session.session_id);
        }
        toast(form.has("keep_conversation") ? forgotten(data) : erased(data));
        return done(null);
      },
    });
  },
};

const forgotten = (receipt) =>
  `The mapping of ${receipt.session_id} is forgotten; ${receipt.conversation_id} is kept at the provider.`;

function erased(receipt) {
  const parts = [
    count(receipt.items_deleted, "item"),
    receipt.conversation_deleted ? "the conversation" : null,
    count(receipt.responses_deleted, "stored response"),
  ];
  return `${receipt.session_id} is erased: ${parts.filter(Boolean).join(", ")}.`;
}

const skipped = (data) => (data.items_skipped ? `, ${number(data.items_skipped)} skipped` : "");

function drawLosses(session, keep) {
  const conversation = [h("code", {}, session.conversation_id)];
  const details = [...Object.keys(session.data), ...Object.keys(session.metadata)];
  const losses = [
    [
      h("strong", {}, session.session_id),
      session.user_id ? `, of the user ${session.user_id}` : "",
      ": the next message under this id begins anew",
    ],
    keep
      ? null
      : [
          `${count(session.turns, "turn")}: the conversation `,
          ...conversation,
          " at the provider, with every message in it",
        ],
    keep || !session.turns ? null : ["the stored responses of its turns"],
    details.length ? [`its data and metadata: ${details.join(", ")}`] : null,
  ];
  byId("losses").replaceChildren(...losses.filter(Boolean).map((parts) => h("li", {}, parts)));
}
