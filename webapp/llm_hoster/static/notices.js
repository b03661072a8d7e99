// What the page asks for by itself, every few seconds: tells when nobody answers, and keeps the tab's title.
const POLLS = ["session", "entry", "gauges", "messages", "vitals", "summary-poll"];
// One unanswered question may be a blink of the network.
const LOST_AFTER = 2;
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
    if (!isPoll(event.detail.elt)) return;
    lost = event.detail.successful ? 0 : lost + 1;
    document.getElementById("lost").hidden = lost < LOST_AFTER;
  });
  // The portal's page about a session that is gone does not belong into ours.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError && isPoll(event.detail.requestConfig.elt)) event.detail.shouldSwap = false;
  });
}

export function isPoll(element) {
  return POLLS.includes(element.id);
}

function keepTitle() {
  document.title = tabText() + title;
}

function tabText() {
  return document.querySelector("[data-tab]")?.dataset.tab ?? "";
}
