// Files for the next message: each is read by the session as soon as it is chosen, and stands above the box as a chip.
import { announce } from "./announcer.js";
import { line, showError } from "./error.js";
import { fragmentOf } from "./growing_prose.js";
import { sentence } from "./sentences.js";

// One file after the other; and where chips are while the box is away because the engine is.
let reading = Promise.resolve();
const shelf = document.createDocumentFragment();
const pastedTexts = new WeakMap();

// Attaches a file that the browser has; `text` is what it was made of, where it came as one.
export function attachFile(file, text) {
  const { receive, bytes } = listOfFiles().dataset;
  const body = new FormData();
  body.append("file", file, file.name);
  const problem = file.size > Number(bytes) ? `This file is too large: it may have ${bytes / 1e6} MB at most. Attach a part of it.` : null;
  attach(file.name, receive, body, { text, problem });
}

// A browser gives a dropped folder as a file that cannot be read.
export function refuseFolder(name) {
  attach(name, "", null, { problem: sentence("This is a folder. Choose the files that are in it.") });
}

// Attaches a file of the cluster.
export function attachPath(path, name) {
  attach(name, listOfFiles().dataset.take, new URLSearchParams({ path }));
}

// Whether there is a box now that takes files.
export function takesFiles() {
  return listOfFiles() !== null;
}

// Resolves when all are read; to false where one of them could not be.
export async function areFilesRead() {
  while (listOfFiles()?.querySelector(".attachment-reading")) await reading;
  return listOfFiles()?.querySelector(".attachment-failed") === null;
}

export function forgetFiles() {
  listOfFiles()?.replaceChildren();
}

export function watchAttachments() {
  document.addEventListener("click", (event) => {
    const chip = event.target.closest(".attachment");
    if (event.target.closest("[data-remove]")) removeChip(chip);
    if (event.target.closest("[data-put]")) putIntoMessage(chip);
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "entry" && event.detail.shouldSwap && takesFiles()) shelf.append(...listOfFiles().children);
  });
  document.addEventListener("htmx:load", () => {
    if (takesFiles()) listOfFiles().append(shelf);
  });
}

function attach(name, address, body, { text, problem } = {}) {
  const list = listOfFiles();
  if (list.children.length >= Number(list.dataset.most)) {
    showError(line(sentence("A message can have at most %(most)s files.", { most: list.dataset.most })));
    return;
  }
  const chip = chipOf("attachment attachment-reading", sentence("Reading %(name)s…", { name }));
  list.append(chip);
  chip.scrollIntoView({ block: "nearest" });
  announce(sentence("Reading %(name)s…", { name }));
  reading = reading.then(() => chip.parentNode && read(chip, name, problem ? { problem } : post(address, body), text));
}

async function read(chip, name, answer, text) {
  const { html, problem } = await answer;
  if (!chip.parentNode) return; // Removed meanwhile.
  const next = problem ? chipOf("attachment attachment-failed", name, problem) : fragmentOf(html).firstElementChild;
  if (!problem && text !== undefined) {
    next.append(button("put", sentence("Put it into the message instead")));
    pastedTexts.set(next, text);
  }
  chip.replaceWith(next);
  announce(problem ?? sentence("%(name)s is attached.", { name }));
}

async function post(address, body) {
  try {
    const answer = await fetch(address, { method: "POST", body, headers: { "HX-Request": "true" } });
    const html = await answer.text();
    return answer.ok ? { html } : { problem: fragmentOf(html).querySelector("p")?.textContent ?? sentence("This file could not be attached.") };
  } catch {
    return { problem: sentence("This file could not be read, or the session cannot be reached. Remove it and attach it again.") };
  }
}

function removeChip(chip) {
  const box = chip.closest("form").querySelector("textarea");
  chip.remove();
  announce(sentence("Removed."));
  box.focus();
}

function putIntoMessage(chip) {
  const box = document.getElementById("message");
  box.setRangeText(pastedTexts.get(chip), box.selectionStart, box.selectionEnd, "end");
  chip.remove();
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

function chipOf(kind, title, problem) {
  const chip = document.createElement("li");
  chip.className = kind;
  const name = chip.appendChild(document.createElement("span"));
  name.className = "attachment-name";
  name.textContent = title;
  chip.append(button("remove", sentence("Remove")));
  if (problem) {
    const sentence = chip.appendChild(document.createElement("span"));
    sentence.className = "attachment-error";
    sentence.textContent = problem;
  }
  return chip;
}

function button(does, words) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "link";
  made.dataset[does] = "attachment";
  made.textContent = words;
  return made;
}

function listOfFiles() {
  return document.getElementById("attachments");
}
