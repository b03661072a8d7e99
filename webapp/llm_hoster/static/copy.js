// Copy buttons, and the button that shows a masked secret.
import { announce } from "./announcer.js";

export function watchCopying() {
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) copyFrom(copy, document.getElementById(copy.dataset.copy));
    const show = event.target.closest("[data-show]");
    if (show) toggle(show, document.getElementById(show.dataset.show));
  });
}

async function copyFrom(button, source) {
  const text = "value" in source ? source.value : source.textContent;
  const done = await write(text, button);
  const label = button.textContent;
  button.textContent = done ? "Copied" : "Copy by hand";
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
  button.textContent = hidden ? "Hide" : "Show";
  button.setAttribute("aria-pressed", String(hidden));
}
