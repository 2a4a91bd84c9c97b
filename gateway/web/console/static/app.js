// The console: every part is started here, once the page is there.

import "./login.js";
import "./keyboard.js";
import { newSession } from "./actions.js";
import { openDialog } from "./dialogs.js";
import { byId, kept } from "./dom.js";
import { startList } from "./list.js";
import { lookAgain, startSession } from "./session.js";
import { startActivityChart } from "./activity_chart.js";

byId("new").addEventListener("click", () => newSession(lookAgain));
byId("keys").addEventListener("click", () => openDialog("keys"));
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark =
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  kept.set("theme", root.dataset.theme);
});

startList();
startSession();
startActivityChart();
