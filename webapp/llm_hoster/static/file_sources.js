// Where files come from: the button, what is dropped on the page, what is pasted, and folders of the cluster.
import { attachFile, attachPath, refuseFolder, takesFiles } from "./attachments.js";

// A longer text is easier to oversee as a file.
const PASTED_MAX_CHARACTERS = 8000;

export function watchFileSources() {
  document.addEventListener("change", (event) => {
    if (event.target.id !== "attach-files") return;
    attachAll(event.target.files);
    event.target.value = "";
  });
  document.addEventListener("paste", onPaste);
  document.addEventListener("dragover", onDrag);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) showDrop(false);
  });
  document.addEventListener("drop", onDrop);
  document.addEventListener("submit", onChosen);
}

function attachAll(files) {
  for (const file of [...files]) attachFile(file);
}

function onPaste(event) {
  const isForMessage = event.target.id === "message";
  if (!canTake() || (!isForMessage && event.target.closest("input, textarea"))) return;
  const { files, types } = event.clipboardData;
  const text = event.clipboardData.getData("text/plain");
  // Office programs offer a picture of the text beside it; a picture that a browser has copied is in HTML without text.
  if (files.length && !(types.includes("text/html") && text.trim())) {
    event.preventDefault();
    attachAll(files);
  } else if (isForMessage && text.length > PASTED_MAX_CHARACTERS) {
    event.preventDefault();
    attachFile(new File([text], "Pasted text", { type: "text/plain" }), text);
  }
}

// A file that is dropped beside the box would take the place of the page.
function onDrag(event) {
  if (!isOurs(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = canTake() ? "copy" : "none";
  showDrop(canTake());
}

function onDrop(event) {
  if (!isOurs(event)) return;
  event.preventDefault();
  showDrop(false);
  if (!canTake()) return;
  for (const item of event.dataTransfer.items) {
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile(); // Null for text that is dropped with files.
    if (entry?.isDirectory) refuseFolder(entry.name);
    else if (file) attachFile(file);
  }
}

function canTake() {
  return takesFiles() && !document.querySelector("dialog[open]");
}

function isOurs(event) {
  return event.dataTransfer?.types.includes("Files") && !event.target.closest?.("input[type=file]");
}

function showDrop(isShown) {
  document.documentElement.classList.toggle("is-dragging", isShown);
}

function onChosen(event) {
  if (event.target.id !== "cluster-files") return;
  event.preventDefault();
  if (!takesFiles()) return;
  for (const box of event.target.querySelectorAll(":checked")) attachPath(box.value, box.dataset.name);
  document.getElementById("panel").close();
}
