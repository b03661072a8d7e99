// What the page asks for by itself, every few seconds: tells when nobody answers, and keeps the tab's title.
const POLLS = ["session", "entry", "gauges", "messages", "vitals", "summary-poll"];
// One unanswered question may be a blink of the network.
const LOST_AFTER = 2;
// What a person does; whatever else makes htmx ask is the page's own doing.
const DEEDS = ["click", "submit", "change", "input", "search", "toggle"];
let lost = 0;
let title = "";

// Names the page anew.
export function setTitle(text) {
  title = text;
  keepTitle();
}

export function watchNotices() {
  title = document.title.slice(tabText().length);
  document.addEventListener("htmx:oobAfterSwap", keepTitle);
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!POLLS.includes(event.detail.elt.id)) return;
    lost = event.detail.successful ? 0 : lost + 1;
    document.getElementById("lost").hidden = lost < LOST_AFTER;
  });
  // The portal's page about a session that is gone does not belong into ours.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError && isUnasked(event.detail.requestConfig)) event.detail.shouldSwap = false;
  });
}

// Whether the page has asked by itself: nobody waits for the answer, and no word of theirs is lost with it.
export function isUnasked({ verb, triggeringEvent }) {
  return verb === "get" && !DEEDS.includes(triggeringEvent?.type);
}

function keepTitle() {
  document.title = tabText() + title;
}

function tabText() {
  return document.querySelector("[data-tab]")?.dataset.tab ?? "";
}
