// A reply that is being written. An EventSource is open only while it is: a portal's page has few connections.
import { announce } from "./announcer.js";
import { isFollowing, toEnd } from "./thread.js";

export function watchReplies() {
  document.addEventListener("htmx:load", (event) => {
    const found = [...event.detail.elt.querySelectorAll("[data-events]")];
    if (event.detail.elt.matches("[data-events]")) found.push(event.detail.elt);
    found.forEach(follow);
  });
}

function follow(message) {
  const url = message.dataset.events;
  delete message.dataset.events; // Followed once, however often htmx looks at it.
  const parts = {
    reasoning: message.querySelector(".reasoning"),
    thought: textOf(message.querySelector(".reasoning-text")),
    html: message.querySelector(".reply-html"),
    tail: textOf(message.querySelector(".reply-tail")),
  };
  let settled = false;
  parts.reasoning.addEventListener("click", () => { settled = true; });
  const source = new EventSource(url);
  announce("The model is writing.");
  toEnd();
  on(source, "reasoning", (text) => {
    parts.reasoning.hidden = false;
    parts.thought.appendData(text);
  });
  on(source, "text", (text) => {
    parts.tail.appendData(text);
    if (!text.trim() || settled) return;
    settled = true; // The thoughts fold up once, when the answer begins, and not under a reader's hand.
    parts.reasoning.open = false;
  });
  on(source, "block", ({ html, tail }) => {
    parts.html.append(fragmentOf(html));
    parts.tail.data = tail;
  });
  on(source, "done", ({ html, state }) => {
    source.close();
    const wasOpen = parts.reasoning.open;
    const finished = fragmentOf(html).firstElementChild;
    const reasoning = finished.querySelector(".reasoning");
    if (reasoning) reasoning.open = wasOpen;
    message.replaceWith(finished);
    announce(state === "done" ? "The reply is complete." : `The reply has ${state}.`);
    document.dispatchEvent(new CustomEvent("reply:end"));
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) lost(message);
  });
}

// Keeps the end in sight for a reader who is there, and leaves alone one who has scrolled away.
function on(source, name, show) {
  source.addEventListener(name, (event) => {
    const following = isFollowing();
    show(JSON.parse(event.data));
    if (following) toEnd();
  });
}

function textOf(element) {
  if (!element.firstChild) element.append("");
  element.normalize();
  if (!element.firstChild) element.append(document.createTextNode(""));
  return element.firstChild;
}

// The server's HTML is sanitised there; a template runs and loads nothing.
function fragmentOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function lost(message) {
  const line = document.createElement("p");
  line.className = "message-failure";
  line.textContent = "The connection to the session was lost. Reload the page to see the rest of this reply.";
  message.querySelector(".message-stop")?.replaceWith(line);
  announce(line.textContent);
  document.dispatchEvent(new CustomEvent("reply:end"));
}
