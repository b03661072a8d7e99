// A reply that is being written: fed by the answer to Send, or by an EventSource where a page finds one running.
// Neither is open longer than the reply: a portal's page has few connections.
import { announce } from "./announcer.js";
import { isFollowing, toEnd } from "./thread.js";

const EVENTS = ["reasoning", "text", "block", "done"];

export function watchReplies() {
  document.addEventListener("htmx:load", (event) => {
    const found = [...event.detail.elt.querySelectorAll("[data-events]")];
    if (event.detail.elt.matches("[data-events]")) found.push(event.detail.elt);
    found.forEach((message) => new Reply(message).follow());
  });
}

export class Reply {
  constructor(message) {
    this.url = message.dataset.events;
    delete message.dataset.events; // Followed once, however often htmx looks at it.
    this.parts = {
      message,
      reasoning: message.querySelector(".reasoning"),
      thought: textOf(message.querySelector(".reasoning-text")),
      html: message.querySelector(".reply-html"),
      tail: textOf(message.querySelector(".reply-tail")),
    };
    this.number = null;
    this.isDone = false;
    this.isSettled = false;
    this.parts.reasoning.addEventListener("click", () => { this.isSettled = true; });
    announce("The model is writing.");
    toEnd();
  }

  // Reads the rest; when it is cut off, the browser itself reconnects and says which event was its last.
  follow() {
    const url = this.number === null ? this.url : this.url.replace(/after=\d+/, `after=${this.number}`);
    const source = new EventSource(url);
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        if (name === "done") source.close();
        this.take({ name, number: Number(event.lastEventId), data: JSON.parse(event.data) });
      });
    }
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && !this.isDone) this.lose();
    });
  }

  // Keeps the end in sight for a reader who is there, and leaves alone one who has scrolled away.
  take({ name, number, data }) {
    const following = isFollowing();
    if (name === "reasoning") this.addThought(data);
    else if (name === "text") this.addText(data);
    else if (name === "block") this.endBlock(data);
    else if (name === "done") this.finish(data);
    this.number = number;
    if (following) toEnd();
  }

  addThought(text) {
    this.parts.reasoning.hidden = false;
    this.parts.thought.appendData(text);
  }

  addText(text) {
    this.parts.tail.appendData(text);
    if (!text.trim() || this.isSettled) return;
    this.isSettled = true; // The thoughts fold up once, when the answer begins, and not under a reader's hand.
    this.parts.reasoning.open = false;
  }

  endBlock({ html, tail }) {
    this.parts.html.append(fragmentOf(html));
    this.parts.tail.data = tail;
  }

  finish({ html, state }) {
    this.isDone = true;
    const finished = fragmentOf(html).firstElementChild;
    const reasoning = finished.querySelector(".reasoning");
    if (reasoning) reasoning.open = this.parts.reasoning.open;
    this.parts.message.replaceWith(finished);
    announce(state === "done" ? "The reply is complete." : `The reply has ${state}.`);
    document.dispatchEvent(new CustomEvent("reply:end"));
  }

  lose() {
    const line = document.createElement("p");
    line.className = "message-failure";
    line.textContent = "The connection to the session was lost. Reload the page to see the rest of this reply.";
    this.parts.message.querySelector(".message-stop")?.replaceWith(line);
    announce(line.textContent);
    document.dispatchEvent(new CustomEvent("reply:end"));
  }
}

function textOf(element) {
  if (!element.firstChild) element.append("");
  element.normalize();
  if (!element.firstChild) element.append(document.createTextNode(""));
  return element.firstChild;
}

// The server's HTML is sanitised there; a template runs and loads nothing.
export function fragmentOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}
