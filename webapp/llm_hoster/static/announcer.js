// One polite live region for the whole page: events in a few words, never the tokens of a reply.
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}
