// Moments that the node wrote in its own time zone, in that of the reader; on the clock of 24 hours, as Slurm tells
// them, so that nothing changes its width. The browser's own names would cost a page more than the rest of its start.
import { sentence } from "./sentences.js";

export function watchTimes() {
  document.addEventListener("htmx:load", (event) => {
    for (const element of event.detail.elt.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      const isToMinute = element.dataset.to === "minute";
      const [hour, minute, second] = [at.getHours(), at.getMinutes(), at.getSeconds()];
      element.textContent = isToMinute ? day(at) + clock(hour, minute) : clock(hour, minute, second);
    }
  });
}

function clock(...numbers) {
  return numbers.map((number) => `${number}`.padStart(2, "0")).join(":");
}

function day(at) {
  if (at.toDateString() === new Date().toDateString()) return "";
  const days = [sentence("Sun"), sentence("Mon"), sentence("Tue"), sentence("Wed"), sentence("Thu"), sentence("Fri")];
  return `${days[at.getDay()] ?? sentence("Sat")} `;
}
