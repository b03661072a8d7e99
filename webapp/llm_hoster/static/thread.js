// The scrolling part of the page, and whether its reader is at the end of it.
const NEAR_END_PX = 64;
const TOUCHES = ["pointerdown", "keydown", "wheel"];
let following = true;

// A chat opens at its end, where no message is named, and stays there as its pictures and formulas come, until its
// reader does something; and whatever takes room from it, as an attachment above the box, does not hide the end.
export function watchThread() {
  document.addEventListener("scroll", look, { capture: true, passive: true });
  const thread = document.getElementById("thread");
  if (!thread) return;
  following = !location.hash;
  new ResizeObserver(keepEnd).observe(thread);
  const opening = new ResizeObserver(keepEnd);
  opening.observe(thread.firstElementChild);
  for (const touch of TOUCHES) document.addEventListener(touch, () => opening.disconnect(), { capture: true, once: true });
}

function look({ target: thread }) {
  if (thread.id === "thread") following = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_END_PX;
}

function keepEnd() {
  if (following) toEnd();
}

export function isFollowing() {
  return following;
}

export function toEnd() {
  following = true;
  const thread = document.getElementById("thread");
  if (thread) thread.scrollTop = thread.scrollHeight;
}

// The id of the last message, after which the reader writes.
export function lastShown() {
  return [...document.querySelectorAll("#messages > .message")].at(-1)?.id.replace("message-", "") ?? "";
}
