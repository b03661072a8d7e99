// Formulas in a reply, drawn by KaTeX. What it refuses stays as the model wrote it.
const SLICE_MS = 8;
// Its own way to show an error is a style attribute, which our policy forbids, and so are two commands' borders.
const MACROS = { "\\pmb": "\\boldsymbol{#1}", "\\fcolorbox": "\\@secondoftwo{#1}{\\colorbox{#2}{#3}}" };
const OPTIONS = { trust: false, maxSize: 20, maxExpand: 200, strict: "ignore", throwOnError: true };
const SOURCE = /^(\$\$|\$|\\\[|\\\()([^]*?)(\$\$|\$|\\\]|\\\))$/;
const KEPT = 200;
// A fraction has some ten levels. At some thousands Chromium's layout runs out of stack, and the tab is gone.
const DEPTH_LIMIT = 400;
let library = null;
const waiting = [];
// Drawn already: an unfinished block comes again and again.
const known = new Map();

export async function drawFormulas(formulas) {
  library ??= load();
  const katex = await library;
  if (!waiting.length) setTimeout(() => drawNext(katex));
  waiting.push(...formulas);
  drawNext(katex);
}

// The newest first, since that is where the reader is, and a little at a time.
function drawNext(katex) {
  const end = performance.now() + SLICE_MS;
  while (waiting.length && performance.now() < end) draw(katex, waiting.pop());
  if (waiting.length) setTimeout(() => drawNext(katex));
}

function draw(katex, formula) {
  if (formula.querySelector("*")) return;
  const source = formula.textContent;
  if (!known.has(source)) known.set(source, drawingOf(katex, source, formula.matches(".math-display")));
  if (known.size > KEPT) known.delete(known.keys().next().value);
  const drawing = known.get(source);
  if (!drawing) return;
  formula.replaceChildren(drawing.cloneNode(true));
  formula.classList.add("math-drawn");
}

function drawingOf(katex, source, displayMode) {
  const drawn = document.createElement("span");
  try {
    katex.render(source.match(SOURCE)[2], drawn, { ...OPTIONS, macros: { ...MACROS }, displayMode });
  } catch {
    return null; // Also where a formula is too deep for the stack.
  }
  return isTooDeep(drawn) ? null : drawn.firstChild;
}

function isTooDeep(element) {
  let level = [element];
  for (let depth = 0; level.length; depth += 1) {
    if (depth > DEPTH_LIMIT) return true;
    level = level.flatMap((each) => [...each.children]);
  }
  return false;
}

async function load() {
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = new URL("vendor/katex/katex.min.css", import.meta.url);
  const isStyled = new Promise((resolve, reject) => {
    sheet.addEventListener("load", resolve);
    sheet.addEventListener("error", reject);
  });
  document.head.append(sheet);
  await Promise.all([isStyled, import("./vendor/katex/katex.min.js")]);
  return window.katex;
}
