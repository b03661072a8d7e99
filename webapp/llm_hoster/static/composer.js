// The message box: Enter sends, the box grows, what could not be sent stays, and Send becomes Stop.
import { areFilesRead, forgetFiles } from "./attachments.js";
import { line, showError, unreachable } from "./error.js";
import { fetchNews } from "./news.js";
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
  document.addEventListener("htmx:beforeSwap", keepDraft);
  document.addEventListener("htmx:load", () => {
    restoreDraft();
    showStop();
  });
  document.addEventListener("reply:end", () => showStop());
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.requestConfig.elt.matches("[data-chooses]")) document.getElementById("message")?.focus();
  });
}

async function onSubmit(event) {
  if (event.target.id !== "composer") return;
  event.preventDefault();
  if (isSending || isBusy()) return;
  isSending = true;
  showError(null);
  event.target.ariaBusy = "true";
  try {
    if (!(await areFilesRead())) throw line("A file could not be attached. Remove it or attach it again, and then send.");
    await send(event.target, event.submitter);
    clear();
  } catch (error) {
    showError(error ?? unreachable());
    fetchNews(); // A reply that is being written elsewhere is shown, and can be stopped.
  } finally {
    isSending = false;
    event.target.ariaBusy = "false";
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
  if (event.target.id === "stop") document.querySelectorAll(".message-stop").forEach((form) => form.requestSubmit());
}

function clear() {
  const box = document.getElementById("message");
  box.value = "";
  forgetFiles();
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
  return document.querySelector(".message-stop") !== null;
}

function showStop() {
  const stop = document.getElementById("stop");
  if (!stop) return;
  stop.hidden = !isBusy();
  document.getElementById("send").hidden = isBusy();
}
