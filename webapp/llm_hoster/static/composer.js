// The message box: Enter sends, the box grows, what could not be sent stays, and Send becomes Stop.
import { announce } from "./announcer.js";
import { isPoll } from "./notices.js";
import { send } from "./send.js";

let isSending = false;
// What was written when the engine went away, for the box that comes with it again.
let draft = "";

export function watchComposer() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("input", (event) => {
    if (event.target.id === "message") fit(event.target);
  });
  document.addEventListener("click", onClick);
  document.addEventListener("htmx:sendError", (event) => {
    if (!isPoll(event.detail.elt)) showError(unreachable());
  });
  document.addEventListener("htmx:beforeSwap", keepDraft);
  document.addEventListener("htmx:load", () => {
    restoreDraft();
    showStop();
  });
  document.addEventListener("reply:end", () => showStop());
}

async function onSubmit(event) {
  if (event.target.id !== "composer") return;
  event.preventDefault();
  if (isSending || isBusy()) return;
  isSending = true;
  showError(null);
  try {
    await send(event.target, event.submitter);
    clear();
  } catch (error) {
    showError(error ?? unreachable());
  } finally {
    isSending = false;
    showStop();
  }
}

function onKey(event) {
  if (event.target.id !== "message" || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (isBusy() || !event.target.value.trim()) return;
  event.target.form.requestSubmit(document.getElementById("send"));
}

function onClick(event) {
  if (event.target.id === "stop") runningStop()?.requestSubmit();
  if (event.target.closest("[data-dismiss]")) {
    showError(null);
    document.getElementById("message")?.focus();
  }
}

function clear() {
  const box = document.getElementById("message");
  box.value = "";
  fit(box);
  box.form.querySelector(".welcome")?.remove();
  box.focus();
}

function keepDraft(event) {
  if (event.detail.target.id === "entry" && event.detail.shouldSwap) draft = document.getElementById("message")?.value ?? draft;
}

function restoreDraft() {
  const box = document.getElementById("message");
  if (!box || !draft || box.value) return;
  box.value = draft;
  draft = "";
  fit(box);
}

function fit(box) {
  box.rows = Math.min(10, Math.max(1, box.value.split("\n").length));
}

function isBusy() {
  return runningStop() !== null;
}

function runningStop() {
  return document.querySelector(".message-stop");
}

function showStop() {
  const stop = document.getElementById("stop");
  if (!stop) return;
  stop.hidden = !isBusy();
  document.getElementById("send").hidden = isBusy();
}

// Shows the server's own fragment, or a line of ours, and with null nothing.
function showError(content) {
  const place = document.getElementById("error");
  if (!place) return;
  const server = content?.querySelector("#error");
  place.replaceChildren(...(server ? server.childNodes : content ? [content] : []));
  if (content) announce(place.querySelector("p").textContent);
}

function unreachable() {
  const line = document.createElement("p");
  line.textContent = "The session cannot be reached. Your text is still here: send it again in a moment.";
  return line;
}
