// The message box: Enter sends, the box grows, what could not be sent comes back, and Send becomes Stop.
import { areFilesRead, forgetFiles } from "./attachments.js";
import { line, showError, unreachable } from "./error.js";
import { fetchNews } from "./news.js";
import { send } from "./send.js";

let isSending = false;
// What was written and attached when the engine went away, for the box that comes with it again.
let draft = "";
let draftFiles = [];

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
    if (event.detail.requestConfig.elt.matches("[data-chooses], [data-restores]")) document.getElementById("message")?.focus();
  });
}

async function onSubmit(event) {
  if (event.target.id !== "composer") return;
  event.preventDefault();
  if (isSending || isBusy()) return;
  isSending = true;
  showError(null);
  event.target.ariaBusy = "true";
  let sent = null;
  try {
    if (!(await areFilesRead())) throw line("A file could not be attached. Remove it or attach it again, and then send.");
    const answer = send(event.target, event.submitter); // It has read the form by now.
    sent = takeOut(event.submitter);
    await answer;
    document.querySelector(".welcome")?.remove();
  } catch (error) {
    if (sent) putBack(sent);
    showError(error ?? unreachable());
    window.htmx.process(document.getElementById("error")); // It may offer to restore the chat.
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

// What is sent leaves the box with its request: what is written until the answer comes is the next message.
function takeOut(submitter) {
  const box = document.getElementById("message");
  if (!box) return { text: "", files: [] }; // The engine went away while the files were read; `draft` has the text.
  const text = submitter?.name === "example" ? "" : box.value;
  const files = [...document.querySelectorAll("#attachments > li")];
  if (text) box.value = "";
  forgetFiles();
  showWelcome(false);
  fit(box);
  box.focus();
  return { text, files };
}

// Before what was written since.
function putBack({ text, files }) {
  const box = document.getElementById("message");
  if (!box) {
    draft = [text, draft].filter(Boolean).join("\n");
    draftFiles = files;
    return;
  }
  document.getElementById("attachments").prepend(...files);
  showWelcome(true);
  if (!text) return;
  if (box.value) box.setRangeText(`${text}\n`, 0, 0, "preserve");
  else box.value = text;
  fit(box);
}

function showWelcome(isShown) {
  const welcome = document.querySelector(".welcome");
  if (welcome) welcome.hidden = !isShown;
}

function keepDraft(event) {
  if (event.detail.target.id === "entry" && event.detail.shouldSwap) draft = document.getElementById("message")?.value ?? draft;
}

function restoreDraft() {
  const box = document.getElementById("message");
  if (!box) return;
  document.getElementById("attachments").prepend(...draftFiles.splice(0));
  if (!draft || box.value) return;
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
  const send = document.getElementById("send");
  const hadFocus = document.activeElement === stop;
  stop.hidden = !isBusy();
  send.hidden = isBusy();
  if (hadFocus && stop.hidden) send.focus(); // In the same place; and no phone shows its keys.
}
