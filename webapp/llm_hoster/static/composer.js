// The message box: Enter sends, the box grows, what could not be sent stays, and Send becomes Stop.
import { announce } from "./announcer.js";

export function watchComposer() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("input", (event) => {
    if (event.target.id === "message") fit(event.target);
  });
  document.addEventListener("click", onClick);
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id === "composer") showError("");
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt.id === "composer" && event.detail.successful) clear();
  });
  document.addEventListener("htmx:sendError", () => {
    showError("The session cannot be reached. Your text is still here: send it again in a moment.");
  });
  document.addEventListener("htmx:load", () => showStop());
  document.addEventListener("reply:end", () => showStop());
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
    showError("");
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

function showError(text) {
  const place = document.getElementById("error");
  if (!place) return;
  place.replaceChildren();
  if (!text) return;
  const line = document.createElement("p");
  line.textContent = text;
  place.append(line);
  announce(text);
}
