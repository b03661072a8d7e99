// Sending a message. The answer is one stream: first the turn as the page shows it, then the events of its reply.
import { fragmentOf } from "./growing_prose.js";
import { Reply } from "./reply.js";
import { lastShown } from "./thread.js";
import { showTitle } from "./title.js";

// Resolves when the turn is in the page, and rejects with a fragment for the error's place, or with null when the
// session cannot be reached.
export async function send(form, submitter) {
  const fields = new FormData(form, submitter);
  fields.delete("file"); // What the page without script sends along; here files were read before.
  fields.set("after", lastShown());
  const answer = await fetch(form.action, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { Accept: "text/event-stream", "HX-Request": "true" }, // An error comes as htmx would get it.
  }).catch(() => { throw null; });
  if (!answer.ok) throw fragmentOf(await answer.text());
  return new Promise((resolve, reject) => { readTurn(answer, resolve).catch(() => reject(null)); });
}

async function readTurn(answer, resolve) {
  let reply = null;
  try {
    await readEvents(answer.body, (event) => {
      if (reply) return reply.take(event);
      reply = showTurn(event.data);
      resolve();
    });
  } catch (error) {
    if (!reply) throw error;
  }
  if (reply && !reply.isDone) reply.follow(); // Cut off: the reply goes on without us, and its rest is read anew.
}

function showTurn({ html, chosen, conversations, url, title }) {
  const turn = fragmentOf(html);
  const added = [...turn.children];
  if (chosen) added.push(...settleChoice(fragmentOf(chosen)));
  document.getElementById("messages").append(turn);
  history.replaceState(null, "", url); // Back leads out of the chat, and not to an empty page with its words.
  // After the first token, which must not wait for this.
  setTimeout(() => {
    showList(fragmentOf(conversations).firstElementChild);
    showTitle(title);
    added.filter((element) => element.isConnected).forEach((element) => window.htmx.process(element));
  });
  const [first, ...others] = document.querySelectorAll(".message[data-events]");
  const reply = new Reply(first); // The answer goes on with its events.
  others.forEach((message) => new Reply(message).follow());
  return reply;
}

// Who goes on without a choice has the reply that the question was written after; the others stand beside it.
function settleChoice(chosen) {
  const choices = document.getElementById("choices");
  const reply = choices ? [...chosen.children] : [];
  choices?.replaceWith(...reply);
  return reply;
}

// Leaves alone what somebody has searched for.
function showList(list) {
  if (document.getElementById("chat-search").value) return;
  document.getElementById("conversation-list").replaceWith(list);
  window.htmx.process(list);
}

// Reads server-sent events, until `take` says false; a chunk may end anywhere.
async function readEvents(body, take) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (pending + decoder.decode(value, { stream: true })).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
      if (!fields.event) continue;
      const wantsMore = take({ name: fields.event, number: Number(fields.id), data: JSON.parse(fields.data) });
      if (wantsMore === false) return reader.cancel();
    }
  }
}
