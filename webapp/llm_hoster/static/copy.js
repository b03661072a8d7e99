// Copy buttons, and the button that shows a masked secret.
import { announce } from "./announcer.js";
import { sentence } from "./sentences.js";

export function watchCopying() {
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) copyFrom(copy, document.getElementById(copy.dataset.copy) ?? copy.closest(".code-block").querySelector("code"));
    const fetched = event.target.closest("[data-copy-from]");
    if (fetched) copyText(fetched, fetchText(fetched.dataset.copyFrom));
    const show = event.target.closest("[data-show]");
    if (show) toggle(show, document.getElementById(show.dataset.show));
  });
}

function copyFrom(button, source) {
  return copyText(button, Promise.resolve("value" in source ? source.value : source.textContent));
}

async function fetchText(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.text();
}

async function copyText(button, text) {
  const done = await text.then((found) => write(found, button)).catch(() => false);
  const label = button.textContent;
  button.textContent = done ? sentence("Copied") : sentence("Copy by hand");
  announce(button.textContent);
  setTimeout(() => { button.textContent = label; }, 1500);
}

// The clipboard of the browser asks for https; an http portal gets the older way.
async function write(text, button) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by the browser's settings: try the older way.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  button.after(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  button.focus();
  return done;
}

function toggle(button, input) {
  const hidden = input.type === "password";
  input.type = hidden ? "text" : "password";
  button.textContent = hidden ? sentence("Hide") : sentence("Show");
  button.setAttribute("aria-pressed", String(hidden));
}
