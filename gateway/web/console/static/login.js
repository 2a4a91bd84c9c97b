// Logging in with a key. Whatever was asked meanwhile waits for it, then goes on.

import { hooks } from "./api.js";
import { openDialog } from "./dialogs.js";
import { byId } from "./dom.js";

let pending = null;

const dialog = byId("dialog-login");
dialog.addEventListener("cancel", (event) => event.preventDefault());

/** Resolves once there is a credential. Until then nothing of what was shown can be seen. */
function login() {
  pending ??= new Promise((resolve) => {
    document.body.classList.add("locked");
    openDialog("login", {
      submit: async (data) => {
        await offer(data.get("key").trim());
        document.body.classList.remove("locked");
        pending = null;
        resolve();
        document.dispatchEvent(new Event("login"));
      },
    });
  });
  return pending;
}

async function offer(key) {
  if (!key) throw new Error("A key is needed.");
  const answer = await fetch("login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key }),
  }).catch(() => {
    throw new Error("The gateway does not answer. Try again in a moment.");
  });
  if (answer.ok) return;
  if (answer.status === 401)
    throw new Error("This one is not accepted. Is it whole? It may also have been revoked, or have expired.");
  const found = await answer.json().catch(() => null);
  throw new Error(found?.error?.message || `The gateway answered ${answer.status}.`);
}

hooks.login = login;

byId("logout")?.addEventListener("click", async () => {
  await fetch("logout", { method: "POST" }).catch(() => {});
  // A new page: nothing of the old one stays in memory.
  location.assign("./");
});
