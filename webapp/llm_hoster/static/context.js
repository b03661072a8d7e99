// How much of the context the next question would fill: what the server has counted, and about what is in the box.
const DRAFT = "llm-hoster-draft";
const CHANGES_MS = 150;
let timer = 0;

export function watchContext() {
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(show, CHANGES_MS);
  };
  document.addEventListener("input", (event) => {
    if (event.target.closest("#composer")) soon();
  });
  // Files beside the message, each with its tokens in `data-tokens`, come and go without a word.
  const files = new MutationObserver(soon);
  document.addEventListener("reply:end", refresh);
  document.addEventListener("htmx:load", (event) => {
    const list = document.getElementById("attachments");
    if (list) files.observe(list, { childList: true });
    if (!event.detail.elt.querySelector("#context-meter") && event.detail.elt.id !== "context-meter") return;
    takeDraft();
    if (typed()) show();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "messages") return;
    if (!document.querySelector(".message-stop")) refresh();
    // The button that was pressed is gone.
    if (event.detail.requestConfig.elt.closest(".context-notice, .context-cut")) document.getElementById("message")?.focus();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keeps-draft]")) keepDraft();
  });
}

function refresh() {
  const meter = document.getElementById("context-meter");
  if (meter) window.htmx.trigger(meter, "context-stale");
}

// The tokens of what is in the box and beside it, about.
function typed() {
  const ratio = Number(document.getElementById("context-meter")?.dataset.ratio ?? 4);
  const files = [...document.querySelectorAll("#composer [data-tokens]")];
  const ofFiles = files.reduce((sum, file) => sum + Number(file.dataset.tokens), 0);
  return Math.ceil((document.getElementById("message")?.value.length ?? 0) / ratio) + ofFiles;
}

function show() {
  const meter = document.getElementById("context-meter");
  if (!meter?.dataset.limit) return;
  const [used, limit, near, full] = ["used", "limit", "near", "full"].map((name) => Number(meter.dataset[name]));
  const more = typed();
  const tokens = used + more;
  const written = (number) => number.toLocaleString(document.documentElement.lang);
  const line = meter.querySelector(".context-tokens");
  meter.dataset.said ??= line.textContent;
  meter.querySelector("meter").value = tokens;
  line.textContent = more ? meter.dataset.about.replace("{tokens}", written(tokens)).replace("{limit}", written(limit)) : meter.dataset.said;
  const hasMore = !("empty" in meter.dataset);
  let level = "ok";
  if (more >= limit) level = "alone";
  else if (hasMore && tokens >= full) level = "full";
  else if (hasMore && tokens >= near) level = "near";
  if (meter.dataset.level !== "refused") tell(level);
}

function tell(level) {
  const notice = document.getElementById("context-notice");
  const lines = [...(notice?.querySelectorAll("[data-level]") ?? [])];
  if (!lines.length) return; // A summary is being written.
  document.getElementById("context-meter").dataset.level = level;
  for (const line of lines) {
    if (line.hidden !== (line.dataset.level !== level)) line.hidden = !line.hidden;
  }
  notice.querySelector(".context-choices").hidden = level === "alone";
  notice.hidden = level === "ok" && !notice.querySelector(".warn, a");
}

// What is in the box goes along into the new chat.
function keepDraft() {
  const refused = document.getElementById("context-meter")?.dataset.level === "refused";
  const last = refused ? [...document.querySelectorAll(".message-user .message-text")].at(-1)?.textContent : "";
  sessionStorage.setItem(DRAFT, document.getElementById("message").value || last || "");
}

function takeDraft() {
  const box = document.getElementById("message");
  const draft = sessionStorage.getItem(DRAFT);
  if (!box || !draft || box.value || !document.querySelector("#context-cut a")) return;
  sessionStorage.removeItem(DRAFT);
  box.value = draft;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}
