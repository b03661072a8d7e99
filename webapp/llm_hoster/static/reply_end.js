// How long the page listens to a reply, and what it says at its end.
import { announce } from "./announcer.js";
import { line, showError } from "./error.js";
import { keepFocus } from "./focus.js";
import { ReplyEvents } from "./reply_events.js";
import { sentence } from "./sentences.js";
import { fetchTitle } from "./title.js";

const ENDS = {
  done: sentence("The reply is complete."),
  stopped: sentence("The reply has stopped."),
  failed: sentence("The reply has failed."),
};

// A reply on a branch that is not shown: the page tells of it until it has ended.
export function awaitEnd(mark) {
  const { ends } = mark.dataset;
  delete mark.dataset.ends;
  const tell = ({ name, data }) => {
    if (name !== "done" || !mark.isConnected) return;
    const note = mark.parentElement;
    mark.remove();
    if (note.querySelector(":scope > [hidden]")) return; // Of two, the other one is still being written.
    keepFocus(() => note.remove());
    tellEnd(data);
  };
  eventsFor(mark, () => ends, tell, () => {});
}

// Events for as long as what shows them is in the page, which has few connections.
export function eventsFor(element, address, take, showConnection) {
  const events = new ReplyEvents(address, take, showConnection);
  const leave = () => {
    if (element.isConnected) return;
    clearTimeout(events.timer);
    events.close();
    document.removeEventListener("htmx:load", leave);
  };
  document.addEventListener("htmx:load", leave);
  return events;
}

export function tellEnd({ state, title_url: titleUrl, notice }) {
  announce(ENDS[state] ?? ENDS.done);
  document.dispatchEvent(new CustomEvent("reply:end"));
  if (titleUrl) fetchTitle(titleUrl);
  if (notice) showError(line(notice));
}
