// The scrolling part of the page, and whether its reader is at the end of it.
const NEAR_END_PX = 64;
let following = true;

document.addEventListener("scroll", (event) => {
  const thread = event.target;
  if (thread.id !== "thread") return;
  following = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_END_PX;
}, { capture: true, passive: true });

export function isFollowing() {
  return following;
}

export function toEnd() {
  const thread = document.getElementById("thread");
  if (thread) thread.scrollTop = thread.scrollHeight;
}

// The id of the last message, after which the reader writes.
export function lastShown() {
  return [...document.querySelectorAll("#messages > .message")].at(-1)?.id.replace("message-", "") ?? "";
}
