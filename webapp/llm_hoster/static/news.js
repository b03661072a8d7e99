// What another window has done with this conversation, when its reader comes back here. Nothing is asked meanwhile.
import { lastShown } from "./thread.js";

let isAsking = false;

export function watchNews() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) fetchNews();
  });
  window.addEventListener("focus", () => fetchNews());
}

// Leaves alone a chat that has not begun, a reply that is followed here, and a message that is being edited.
export async function fetchNews() {
  const messages = document.getElementById("messages");
  const url = messages?.dataset.news;
  if (!url || !lastShown() || isAsking || messages.querySelector(".message-stop, .edit")) return;
  isAsking = true;
  const part = { source: messages, target: messages, select: "#messages", swap: "outerHTML" };
  await window.htmx.ajax("GET", `${url}?seen=${lastShown()}`, part).catch(() => {});
  isAsking = false;
}
