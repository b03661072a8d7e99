// Where the keyboard goes on when what it was on is gone from the messages. htmx itself leads it to what has the same
// id; this is for the rest: a message whose buttons are others now, and one in whose place stands another.
export function watchFocus() {
  let place = null;
  document.addEventListener("htmx:beforeSwap", () => { place = placeNow(); });
  document.addEventListener("htmx:afterSettle", () => goOnAt(place)); // Then `autofocus` has had its turn.
}

// Makes a change that may take away what has the keyboard.
export function keepFocus(change) {
  const place = placeNow();
  change();
  goOnAt(place);
}

function placeNow() {
  const held = document.activeElement;
  const line = held?.closest("#messages > li");
  return line ? { held, ids: [held.closest(".message")?.id, line.nextElementSibling?.id] } : null;
}

// To the same message, else the one that came after it, else the newest: a message and no box to write in, so that
// single letters go on and no phone shows its keys.
function goOnAt(place) {
  if (!place || place.held.isConnected || document.activeElement !== document.body) return;
  const found = place.ids.map((id) => id && document.getElementById(id)).find(Boolean);
  const next = found || [...document.querySelectorAll("#messages .message")].at(-1) || document.getElementById("main");
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
}
