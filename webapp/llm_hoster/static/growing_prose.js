// The prose of a reply that grows. The server renders it: finished blocks stay, what is unfinished is shown as it is so
// far and replaced, and what comes in between is put behind it as text.
import { dress, dressFormulas } from "./prose.js";

const BLOCKS = new Set(["BLOCKQUOTE", "DIV", "H3", "H4", "H5", "H6", "LI", "OL", "P", "PRE", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL"]);

// The lines of growing text are laid out anew with each word, as many as there are in one element.
const PART_LENGTH = 1500;

export class GrowingProse {
  constructor(element) {
    this.element = element;
    const tail = element.querySelector(".reply-tail");
    this.tail = tail ? [tail] : [];
    // The finished blocks as the server sent them, to compare with at the end.
    this.plain = document.createElement("div");
    this.plain.append(...[...element.children].filter((child) => child !== tail).map((child) => child.cloneNode(true)));
    const rest = tail ? element.lastChild : null;
    this.end = tail ? endOf(tail) : null;
    this.waiting = "";
    if (rest?.nodeType === Node.TEXT_NODE) {
      this.addText(rest.data);
      rest.remove();
    }
  }

  // Words of a block whose kind is not known yet wait for it: that is a word or two.
  addText(text) {
    if (!this.end) {
      this.waiting += text;
      return;
    }
    this.end.appendData(text);
    if (this.end.parentElement.matches("pre code")) this.end = partOff(this.end);
  }

  grow({ parts, html, tail, rest, joins }) {
    this.tail.forEach((node) => node.remove());
    for (const [code, isJoining] of [[parts, true], [html, false]]) {
      if (!code) continue;
      const fragment = fragmentOf(code);
      place(this.plain, fragment.cloneNode(true), isJoining);
      dress(place(this.element, fragment, isJoining));
    }
    this.tail = tail ? place(this.element, fragmentOf(tail), joins) : [];
    dressFormulas(this.tail);
    const last = this.tail.findLast((node) => node.nodeType === Node.ELEMENT_NODE);
    this.end = last ? endOf(last) : null;
    this.end?.appendData(rest);
    this.waiting = "";
  }

  // Keeps what is shown already as far as it is the same: the colours of code, the reader's selection.
  finish(finished) {
    this.tail.forEach((node) => node.remove());
    let kept = 0;
    while (finished.children[kept] && this.plain.children[kept]?.isEqualNode(finished.children[kept])) kept += 1;
    [...this.element.children].slice(kept).forEach((child) => child.remove());
    const rest = [...finished.children].slice(kept);
    this.element.append(...rest);
    finished.replaceWith(this.element);
    dress(rest);
  }
}

// Puts blocks behind the others; or items and rows, without the list or table that they came in, into the last one.
function place(prose, fragment, isJoining) {
  const into = isJoining && holderOf(prose.lastElementChild);
  const from = into && holderOf(fragment.firstElementChild);
  const isSame = from && from.tagName === into.tagName;
  const nodes = isSame ? [...from.childNodes].slice(1) : [...fragment.children];
  (isSame ? into : prose).append(...nodes);
  return nodes;
}

function holderOf(block) {
  return block?.matches(".table-box") ? block.querySelector("tbody") : block?.matches("ul, ol") ? block : null;
}

// The text at the end of a block, for more of it.
function endOf(block) {
  let element = block;
  const deeper = () => element.lastElementChild;
  while (deeper() && (BLOCKS.has(deeper().tagName) || element.tagName === "PRE")) element = deeper();
  if (element.lastChild?.nodeType !== Node.TEXT_NODE) element.append(document.createTextNode(""));
  return element.lastChild;
}

// Puts the whole lines of a long text, whose white space is kept, into an element of their own; returns the rest.
export function partOff(text) {
  const end = text.length > PART_LENGTH ? text.data.lastIndexOf("\n") + 1 : 0;
  if (!end) return text;
  const rest = text.splitText(end);
  const part = document.createElement("span");
  part.className = "text-part";
  text.replaceWith(part);
  part.append(text);
  return rest;
}

// The server's HTML is sanitised there; a template runs and loads nothing.
export function fragmentOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}
