// What did not work is told where the person looks: in the panel that is open, else in the page behind it.
import { announce } from "./announcer.js";
import { isUnasked } from "./notices.js";
import { sentence } from "./sentences.js";

export function watchErrors() {
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError) event.detail.target = errorPlace();
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (!isUnasked(event.detail.requestConfig)) showError(unreachable());
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb === "post") showError(null);
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-dismiss]")) return;
    showError(null);
    document.getElementById("message")?.focus();
  });
}

// Shows the server's own fragment, or a line of ours, and with null nothing.
export function showError(content) {
  const place = errorPlace();
  const server = content?.querySelector("#error");
  place.replaceChildren(...(server ? server.childNodes : content ? [content] : []));
  if (content) announce(place.querySelector("p").textContent);
}

export function unreachable() {
  return line("The session cannot be reached. Your text is still here: send it again in a moment.");
}

// A sentence of ours, as `showError` takes it.
export function line(words) {
  const made = document.createElement("p");
  made.textContent = words;
  return made;
}

function errorPlace() {
  return document.querySelector("#panel[open] > .error") ?? document.getElementById("error");
}
