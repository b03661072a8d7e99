// The title of the conversation in the page: its first line at first, and the model's words for it when they come.
import { setTitle } from "./notices.js";

export function showTitle(title) {
  const heading = document.querySelector("#main > h1");
  const before = heading.textContent;
  if (!title || title === before) return;
  heading.textContent = title;
  setTitle(`${title} · LLM Hoster`);
  // Its entry in the list, in its place: a keyboard may be there.
  const entry = document.querySelector('#conversation-list a[aria-current="page"]');
  if (entry?.textContent !== before) return; // Somebody searches.
  entry.textContent = title;
  const more = entry.parentElement.querySelector(".more");
  more?.setAttribute("aria-label", more.getAttribute("aria-label").replace(before, title));
}

// Asked once, when a reply ends that a title follows; answered when it is there.
export async function fetchTitle(url) {
  const answer = await fetch(url).catch(() => null);
  if (answer?.status === 200) showTitle((await answer.json()).title);
}
