// Prompts: looked for by typing, filled in, and put into the message box.
import { showError, unreachable } from "./error.js";
import { fragmentOf } from "./growing_prose.js";

export function watchPrompts() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-prompt]");
    if (!link || !document.getElementById("message") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    usePrompt(link.dataset.prompt);
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "prompt-search") find(event.target.value);
    if (event.target.dataset?.fills) fill(event.target.dataset.fills, event.target.value);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "prompt-form") return;
    event.preventDefault();
    document.getElementById("panel").close();
    put(event.target.querySelector("#prompt-preview").textContent);
  }, { capture: true }); // The panel empties itself when it is closed.
}

// Asks for the variables; a prompt without any is taken as it is.
export async function usePrompt(address) {
  const panel = document.getElementById("panel");
  const answer = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (!answer) return showError(unreachable());
  const part = fragmentOf(await answer.text());
  if (!answer.ok) return showError(part);
  if (!part.querySelector("[data-fills]")) {
    if (panel.open) panel.close();
    return put(part.querySelector("#prompt-preview").textContent);
  }
  const place = document.getElementById("panel-content");
  place.replaceChildren(part);
  if (!panel.open) panel.showModal();
  place.querySelector("[data-fills]").focus();
}

// Puts a text where the cursor stands.
function put(text) {
  const box = document.getElementById("message");
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

function fill(variable, value) {
  for (const place of document.querySelectorAll("#prompt-preview [data-variable]")) {
    if (place.dataset.variable === variable) place.textContent = value || `{{${variable}}}`;
  }
}

function find(words) {
  const items = [...document.querySelectorAll("#prompts [data-found]")];
  for (const item of items) item.hidden = !hasWords(item.dataset.found, words);
  const line = document.getElementById("prompt-none");
  line.textContent = items.every((item) => item.hidden) ? line.dataset.none : "";
}

export function hasWords(text, words) {
  const lower = text.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}
