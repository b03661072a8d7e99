// Moments that the node wrote in its own time zone, in that of the reader.
export function watchTimes() {
  document.addEventListener("htmx:load", (event) => {
    for (const element of event.detail.elt.querySelectorAll("time[datetime]")) {
      element.textContent = new Date(element.dateTime).toLocaleTimeString();
    }
  });
}
