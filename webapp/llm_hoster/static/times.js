// Moments that the node wrote in its own time zone, in that of the reader.
const AFTER_FIRST_FRAME_MS = 100;

export function watchTimes() {
  const { lang } = document.documentElement;
  const locale = lang === "en" ? undefined : lang; // English is spoken in many countries: the browser knows which.
  document.addEventListener("htmx:load", ({ detail: { elt } }) => {
    // The first time costs the browser its tables of all languages: more than the rest of the page's start.
    if (elt === document.body) setTimeout(() => tellTimes(elt, locale), AFTER_FIRST_FRAME_MS);
    else tellTimes(elt, locale);
  });
}

function tellTimes(place, locale) {
  for (const element of place.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    element.textContent = element.dataset.to === "minute" ? toMinute(at, locale) : at.toLocaleTimeString(locale);
  }
}

function toMinute(at, locale) {
  const isToday = at.toDateString() === new Date().toDateString();
  return at.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", ...(isToday ? {} : { weekday: "short" }) });
}
