// What only a script can add to a model's words: a Copy button and colours for code, and formulas. Each is loaded when
// there is something for it.
import { sentence } from "./sentences.js";

export function watchProse() {
  document.addEventListener("htmx:load", (event) => {
    if (event.detail.elt.querySelector(".prose")) dress([...event.detail.elt.querySelectorAll(".prose > *:not(.reply-tail)")]);
  });
}

export function dress(nodes) {
  const blocks = within(nodes, ".code-block");
  if (blocks.length) import("./code_block.js").then(({ dressCode }) => dressCode(blocks, sentence("Copy")));
  dressFormulas(nodes);
}

export function dressFormulas(nodes) {
  const formulas = within(nodes, ".math");
  if (formulas.length) import("./maths.js").then(({ drawFormulas }) => drawFormulas(formulas));
}

function within(nodes, selector) {
  const elements = nodes.filter((node) => node.nodeType === Node.ELEMENT_NODE);
  return elements.flatMap((element) => (element.matches(selector) ? [element] : [...element.querySelectorAll(selector)]));
}
