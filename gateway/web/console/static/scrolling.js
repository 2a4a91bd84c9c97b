// The conversation's place: at the newest words it stays there, elsewhere it stays where the reader is.

import { byId } from "./dom.js";

const scroller = byId("scroll");
const jump = byId("jump");
let pinned = true;

const distance = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;

scroller.addEventListener("scroll", () => {
  pinned = distance() < 48;
  jump.hidden = distance() < 240;
});
jump.addEventListener("click", toNewest);
new ResizeObserver(() => pinned && toNewest()).observe(scroller);

export function toNewest() {
  pinned = true;
  scroller.scrollTop = scroller.scrollHeight;
}

/** Changes what is shown; words that come below move nothing that is being read. */
export function keepingPlace(change, { above = false } = {}) {
  const fromEnd = scroller.scrollHeight - scroller.scrollTop;
  change();
  if (pinned && !above) toNewest();
  else if (above) scroller.scrollTop = scroller.scrollHeight - fromEnd;
  jump.hidden = distance() < 240;
}
