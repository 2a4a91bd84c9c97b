// What one window does, the browser's other windows look at without waiting for their next round.

const channel = new BroadcastChannel("gateway.console");

export const tellOthers = () => channel.postMessage("news");

export const whenOthersTell = (look) => channel.addEventListener("message", () => document.hidden || look());
