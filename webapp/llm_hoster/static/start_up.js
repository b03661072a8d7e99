// The start-up between two looks at the server: counts the running step's seconds, and says each new step once.
import { announce } from "./announcer.js";

let said = "";

export function watchStartUp() {
  document.addEventListener("htmx:load", begin);
  setInterval(count, 1000);
}

function begin() {
  for (const element of document.querySelectorAll("[data-counting]")) {
    element.beganAt = performance.now() - Number(element.dataset.counting) * 1000;
    delete element.dataset.counting;
    element.classList.add("counting");
  }
  const running = document.querySelector(".step-running .step-title")?.firstChild.textContent.trim();
  if (running && running !== said) announce(running);
  said = running ?? said;
}

function count() {
  for (const element of document.querySelectorAll(".counting")) {
    element.textContent = Math.floor((performance.now() - element.beganAt) / 1000);
  }
}
