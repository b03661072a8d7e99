// Keys for people without a mouse. An element says itself which key presses it: the last one of a page that is in sight.
// Where somebody writes, only Escape and Ctrl+/ mean something; who dictates can switch single letters off.
const SWITCHED_OFF = "llm-hoster-shortcuts-off";
const WRITING = "input, textarea, select, [contenteditable], dialog";
const OPENS_PANEL = '[hx-target="#panel-content"]';

export function watchShortcuts() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:load", showSwitch);
  document.addEventListener("change", (event) => {
    if (event.target.id !== "use-shortcuts") return;
    if (event.target.checked) localStorage.removeItem(SWITCHED_OFF);
    else localStorage.setItem(SWITCHED_OFF, "yes");
  });
}

function onKey(event) {
  if (event.defaultPrevented || event.isComposing || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "/") press("?", event);
    return;
  }
  if (event.key === "Escape") leave(event.target);
  if (event.target.closest(WRITING) || document.querySelector("dialog[open]") || isSwitchedOff()) return;
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  else press(event.key, event);
}

function press(key, event) {
  const named = [...document.querySelectorAll("[data-key]")].filter((each) => each.dataset.key === key);
  const element = named.findLast((each) => each.checkVisibility()) ?? named.findLast(unfold);
  if (!element) return;
  event.preventDefault(); // Else the letter would stand in the field that it leads to.
  if (!element.matches(OPENS_PANEL)) element.focus(); // A panel gives the keyboard back to what had it.
  if (!element.matches(WRITING)) element.click();
}

// What is folded away, as the list of chats on a phone, is opened for its key.
function unfold(element) {
  const folded = element.closest("details:not([open])");
  if (!folded?.checkVisibility()) return false;
  folded.open = true;
  return true;
}

function leave(place) {
  if (place.id === "message") document.getElementById("main").focus();
  const cancel = place.closest(".edit")?.querySelector("[data-cancels]");
  if (!cancel || document.querySelector(":popover-open")) return; // The key closes that first.
  cancel.focus(); // htmx leads from there to the link that opens the edit again.
  cancel.click();
}

// From message to message; the first key leads to the last one.
function move(step) {
  const messages = [...document.querySelectorAll("#messages > .message")];
  const place = messages.indexOf(document.activeElement.closest(".message"));
  const next = messages[place < 0 ? messages.length - 1 : place + step];
  if (!next) return;
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function isSwitchedOff() {
  return localStorage.getItem(SWITCHED_OFF) !== null;
}

function showSwitch() {
  const box = document.getElementById("use-shortcuts");
  if (box) box.checked = !isSwitchedOff();
}
