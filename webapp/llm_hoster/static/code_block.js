// Code in a reply: a Copy button above it, and colours when it comes into sight. A worker finds them, so that nothing
// waits for it, and one that takes too long is ended: whatever a model writes, it must not hold up the page.
const TIME_LIMIT_MS = 2000;
const LENGTH_LIMIT = 50_000;
let worker = null;
let number = 0;
const asked = new Map();
// The one that is worked on, and the timer that ends it.
let begun = null;
let timer = null;

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    colour(target);
  }
}, { root: document.getElementById("thread"), rootMargin: "400px" });

export function dressCode(blocks, copyWord) {
  for (const block of blocks) {
    const head = block.querySelector(".code-head");
    if (head.querySelector("button")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.dataset.copy = "";
    button.textContent = copyWord;
    head.append(button);
    const code = block.querySelector("code");
    if (code.className && code.textContent.length <= LENGTH_LIMIT) sight.observe(code);
  }
}

function colour(code) {
  worker ??= start();
  number += 1;
  asked.set(number, code);
  worker.postMessage({ number, language: code.className.replace("language-", ""), text: code.textContent });
}

function start() {
  const started = new Worker(new URL("highlight_worker.js", import.meta.url), { type: "module" });
  started.addEventListener("message", ({ data }) => {
    clearTimeout(timer);
    if (data.isBegun) {
      begun = data.number;
      timer = setTimeout(giveUp, TIME_LIMIT_MS);
      return;
    }
    const code = asked.get(data.number);
    asked.delete(data.number);
    if (code) show(code, data.html);
  });
  return started;
}

// What is worked on stays plain, and the others are asked again. Loading a grammar takes as long as it takes.
function giveUp() {
  worker.terminate();
  worker = null;
  asked.delete(begun);
  const others = [...asked.values()];
  asked.clear();
  others.forEach(colour);
}

// Takes nothing but the same text in spans with a class.
function show(code, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const isPlain = [...template.content.querySelectorAll("*")].every((each) => each.tagName === "SPAN" && each.getAttributeNames().every((name) => name === "class"));
  if (isPlain && template.content.textContent === code.textContent) code.replaceChildren(template.content);
}
