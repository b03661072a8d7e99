// Moments that the node wrote in its own time zone, in that of the reader.
export function watchTimes() {
  const { lang } = document.documentElement;
  const locale = lang === "en" ? undefined : lang; // English is spoken in many countries: the browser knows which.
  document.addEventListener("htmx:load", (event) => {
    for (const element of event.detail.elt.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      element.textContent = element.dataset.to === "minute" ? toMinute(at, locale) : at.toLocaleTimeString(locale);
    }
  });
}

function toMinute(at, locale) {
  const isToday = at.toDateString() === new Date().toDateString();
  return at.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", ...(isToday ? {} : { weekday: "short" }) });
}
