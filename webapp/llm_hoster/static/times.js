// Moments that the node wrote in its own time zone, in that of the reader; on the clock of 24 hours, as Slurm tells
// them, so that nothing changes its width.
export function watchTimes() {
  document.addEventListener("htmx:load", (event) => {
    for (const element of event.detail.elt.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      element.textContent = element.dataset.to === "minute" ? toMinute(at) : toSecond(at);
    }
  });
}

function toSecond(at) {
  return at.toTimeString().slice(0, "00:00:00".length);
}

function toMinute(at) {
  const time = toSecond(at).slice(0, "00:00".length);
  if (at.toDateString() === new Date().toDateString()) return time;
  // Not for today's: the first such call costs a page more than the rest of its start.
  return `${at.toLocaleDateString(document.documentElement.lang, { weekday: "short" })} ${time}`;
}
