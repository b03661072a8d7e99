// Keys for people without a mouse. An element says itself which key presses it: the last one of a page that is in sight.
// Where somebody writes, only Escape and Ctrl+/ mean something; who dictates can switch single letters off.
const SWITCHED_OFF = "llm-hoster-shortcuts-off";
const WRITING = "input, textarea, select, [contenteditable], dialog";

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
  if (event.target.id === "message" && event.key === "Escape") document.getElementById("main").focus();
  if (event.target.closest(WRITING) || document.querySelector("dialog[open]") || isSwitchedOff()) return;
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  else press(event.key, event);
}

function press(key, event) {
  const found = [...document.querySelectorAll("[data-key]")].filter((each) => each.dataset.key === key && each.checkVisibility());
  const element = found.at(-1);
  if (!element) return;
  event.preventDefault(); // Else the letter would stand in the field that it leads to.
  element.focus();
  if (!element.matches(WRITING)) element.click();
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
