// A reply that is being written: fed by the answer to Send, or by an EventSource where a page finds one running.
// Neither is open longer than the reply: a portal's page has few connections.
import { announce } from "./announcer.js";
import { keepFocus } from "./focus.js";
import { GrowingProse, fragmentOf, partOff } from "./growing_prose.js";
import { awaitEnd, eventsFor, tellEnd } from "./reply_end.js";
import { sentence } from "./sentences.js";
import { isFollowing, toEnd } from "./thread.js";

export function watchReplies() {
  document.addEventListener("htmx:load", (event) => {
    const found = [...event.detail.elt.querySelectorAll("[data-events]")];
    if (event.detail.elt.matches("[data-events]")) found.push(event.detail.elt);
    found.forEach((message) => new Reply(message).follow());
    event.detail.elt.querySelectorAll("[data-ends]").forEach(awaitEnd);
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
      facts: message.querySelector(".message-facts"),
    };
    this.prose = new GrowingProse(message.querySelector(".prose"));
    this.news = [];
    this.number = null;
    this.isDone = false;
    this.isSettled = false;
    this.parts.reasoning.addEventListener("click", () => { this.isSettled = true; });
    announce(sentence("The model is writing."));
    toEnd();
  }

  // Somebody may look at another branch by now: the page is no more ours to scroll, or to speak in.
  get isShown() {
    return this.parts.message.isConnected;
  }

  // Reads the rest, each time from after the event that was the last.
  follow() {
    const address = () => (this.number === null ? this.url : this.url.replace(/after=\d+/, `after=${this.number}`));
    if (!this.isShown) return;
    this.events = eventsFor(this.parts.message, address, (event) => this.take(event), (state) => this.showConnection(state));
  }

  // What comes between two frames is shown in one. The first words wait for nothing, and neither does a hidden tab.
  // Says false where nobody needs to read on.
  take(event) {
    if (!this.isShown) return false;
    this.number = event.number;
    this.news.push(event);
    if (event.name === "done" || !this.isBegun || document.hidden) this.show();
    else this.frame ??= requestAnimationFrame(() => this.show());
    this.isBegun ||= event.name === "block" || event.name === "reasoning"; // Before its block, text is not shown.
  }

  // Keeps the end in sight for a reader who is there, and leaves alone one who has scrolled away.
  show() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.isShown) return;
    const following = isFollowing();
    for (const { name, data } of this.news.splice(0)) {
      if (name === "reasoning") this.addThought(data);
      else if (name === "text") this.addText(data);
      else if (name === "block") this.prose.grow(data);
      else if (name === "facts") this.parts.facts.replaceChildren(fragmentOf(data));
      else if (name === "done") this.finish(data);
    }
    if (following) toEnd();
  }

  addThought(text) {
    this.parts.reasoning.hidden = false;
    this.parts.thought.appendData(text);
    this.parts.thought = partOff(this.parts.thought);
  }

  addText(text) {
    this.prose.addText(text);
    if (!text.trim() || this.isSettled) return;
    this.isSettled = true; // The thoughts fold up once, when the answer begins, and not under a reader's hand.
    this.parts.reasoning.open = false;
  }

  finish(end) {
    this.isDone = true;
    const finished = fragmentOf(end.html).firstElementChild;
    const reasoning = finished.querySelector(".reasoning");
    if (reasoning) reasoning.open = this.parts.reasoning.open;
    keepFocus(() => this.parts.message.replaceWith(finished));
    this.prose.finish(finished.querySelector(".prose"));
    window.htmx.process(finished);
    tellEnd(end);
  }

  // In the place of the figures, so that nothing jumps.
  showConnection(state) {
    const lines = { open: this.parts.facts };
    for (const name of ["reconnecting", "unreachable"]) lines[name] = this.parts.message.querySelector(`.${name}`);
    if (!lines[state].hidden) return;
    const following = isFollowing();
    for (const [name, line] of Object.entries(lines)) line.hidden = name !== state;
    if (following) toEnd();
    if (state !== "open") announce(lines[state].firstChild.data);
    lines.unreachable.querySelector("button").onclick = () => this.events.connect();
  }
}

function textOf(element) {
  if (!element.firstChild) element.append("");
  element.normalize();
  if (!element.firstChild) element.append(document.createTextNode(""));
  return element.firstChild;
}
