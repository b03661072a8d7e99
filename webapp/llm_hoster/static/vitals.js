// Has the figures beside the chat looked at anew, while somebody can see them: a hidden tab asks nothing.
const FIRST_MS = 1000;
const PAUSE_MS = 5000;

export function watchVitals() {
  setTimeout(look, FIRST_MS);
  setInterval(look, PAUSE_MS);
  document.addEventListener("visibilitychange", look);
}

function look() {
  if (!document.hidden) document.getElementById("vitals")?.dispatchEvent(new Event("look"));
}
