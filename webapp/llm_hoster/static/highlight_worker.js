// Finds the colours of code. The server names the language, out of a list of its own.
import highlight from "./vendor/highlight/core.min.js";

const languages = new Map();

addEventListener("message", async ({ data: { number, language, text } }) => {
  let html = "";
  try {
    if (!languages.has(language)) languages.set(language, load(language));
    await languages.get(language);
    postMessage({ number, isBegun: true });
    html = highlight.highlight(text, { language }).value;
  } catch {
    // Without colours, then.
  }
  postMessage({ number, html });
});

async function load(language) {
  const grammar = await import(`./vendor/highlight/${language}.min.js`);
  highlight.registerLanguage(language, grammar.default);
}
