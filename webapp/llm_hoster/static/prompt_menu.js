// Prompts at the message box: "/" in the empty box opens a list, what is typed after it finds, Enter takes.
import { announce } from "./announcer.js";
import { fragmentOf } from "./growing_prose.js";
import { hasWords, usePrompt } from "./prompts.js";

const SHOWN_MAX = 5;
const WRITTEN = /^\/[^\n]{0,60}$/;
let isDismissed = false;

export function watchPromptMenu() {
  document.addEventListener("input", (event) => {
    if (event.target.id === "message") look(event.target);
  });
  // Before the message box, where Enter sends.
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "message" && !event.isComposing && isOpen() && onKey(event.key, event.target)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }, { capture: true });
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#prompt-menu")) event.preventDefault(); // The box keeps the focus.
  });
  document.addEventListener("click", (event) => {
    const option = event.target.closest("#prompt-menu [role=option]");
    if (option) take(option, document.getElementById("message"));
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.id === "message") close(event.target);
  });
}

async function look(box) {
  if (!WRITTEN.test(box.value)) {
    isDismissed = false;
    return close(box);
  }
  if (isDismissed) return;
  if (box.value === "/" && !isOpen()) await load();
  if (!isDismissed) show(box); // Escape may have come while the list was on its way.
}

async function load() {
  const answer = await fetch(menu().dataset.source, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (!answer?.ok) return;
  menu().replaceChildren(fragmentOf(await answer.text()));
  announce(menu().querySelector("ul").dataset.said);
}

// Shows what has the words that were typed; where nothing has, Enter sends them.
function show(box) {
  const all = [...menu().querySelectorAll("[role=option]")];
  const has = (part) => all.filter((option) => hasWords(option.querySelector(part).textContent, box.value.slice(1)));
  const found = [has(".prompt-title"), has(".hint")].find((each) => each.length) ?? [];
  for (const option of all) option.hidden = !found.slice(0, SHOWN_MAX).includes(option);
  if (!WRITTEN.test(box.value) || !options().length || document.activeElement !== box) return close(box);
  menu().hidden = false;
  box.setAttribute("aria-controls", "prompt-options");
  choose(box, options()[0]);
}

function onKey(key, box) {
  const all = options();
  const now = all.findIndex((option) => option.ariaSelected === "true");
  if (key === "ArrowDown") choose(box, all[(now + 1) % all.length]);
  else if (key === "ArrowUp") choose(box, all[(now + all.length - 1) % all.length]);
  else if (key === "Enter" || key === "Tab") take(all[now], box);
  else if (key === "Escape") {
    isDismissed = true;
    close(box);
  } else return false;
  return true;
}

function choose(box, option) {
  for (const each of menu().querySelectorAll("[aria-selected=true]")) each.ariaSelected = "false";
  option.ariaSelected = "true";
  box.setAttribute("aria-activedescendant", option.id);
}

function take(option, box) {
  box.value = "";
  close(box);
  usePrompt(option.dataset.prompt);
}

function close(box) {
  if (menu()) menu().hidden = true;
  box.removeAttribute("aria-activedescendant");
  box.removeAttribute("aria-controls");
}

function options() {
  return [...menu().querySelectorAll("[role=option]:not([hidden])")];
}

function isOpen() {
  return menu() !== null && !menu().hidden;
}

function menu() {
  return document.getElementById("prompt-menu");
}
