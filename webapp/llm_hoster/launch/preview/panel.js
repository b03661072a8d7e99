// The panel before the Launch button. All text is put in as text; its looks are Bootstrap's, 4 and 5 alike.

const ANNOUNCE_AFTER_MS = 800;
const UNCOUNTED_LORA = "The adapters of the LoRA folder take memory that is not counted here.";
const DOES_NOT_FIT = ["does_not_fit", "context_too_long", "slices"];

function makePanel(launch) {
  const title = element("div", "card-header");
  title.id = "llm_hoster_preview_title";
  title.textContent = "Fit and cost";
  const body = element("div", "card-body");
  const panel = element("section", "card mb-3", title, body);
  panel.id = "llm_hoster_preview";
  panel.tabIndex = -1; // What a suggestion's button hands the focus to, as it goes away.
  panel.setAttribute("aria-labelledby", title.id);
  // Read aloud, and in one sentence: the panel changes with every key that is pressed.
  const status = element("p", "visually-hidden sr-only");
  status.setAttribute("role", "status");
  launch.before(panel, status);
  return { panel, body, status };
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function showChoice({ body }, values, choice, take) {
  const verdict = verdictOf(values, choice);
  const label = element("strong", "", `${verdict.label}:`);
  const parts = [element("div", `alert alert-${verdict.look} py-2 mb-2`, label, ` ${verdict.text}`)];
  const facts = factsOf(values, choice);
  if (facts.length) parts.push(element("dl", "row mb-0", ...facts.flat()));
  const suggestions = suggest(values, choice).filter(({ changes }) => Object.keys(changes).every(field));
  const items = suggestions.map((each) => suggestionItem(each, take));
  if (items.length) parts.push(element("ul", "list-unstyled mb-0", ...items));
  body.replaceChildren(...parts);
  return `${verdict.label}: ${verdict.text}${choice.refusal ? "" : ` ${priceText(choice, values.account)}.`}`;
}

// Says it once the person has stopped changing things.
function announce(preview, text) {
  clearTimeout(preview.timer);
  preview.timer = setTimeout(() => {
    if (preview.status.textContent !== text) preview.status.textContent = text;
  }, ANNOUNCE_AFTER_MS);
}

function verdictOf(values, choice) {
  if (choice.refusal) {
    const label = DOES_NOT_FIT.includes(choice.refusal.sentence) ? "Does not fit" : "Not possible";
    const limit = limitText(values, choice);
    return { look: "danger", label, text: limit ? `${choice.refusal.message} ${limit}` : choice.refusal.message };
  }
  const place = placeTitle(choice.offer);
  if (!choice.model) {
    const check = data.launch_checks_typed_models
      ? "Launch checks whether it fits, where the portal sees its files; otherwise the node does, before vLLM starts."
      : "The node checks whether it fits, in seconds, before vLLM starts.";
    return { look: "info", label: "Not checked yet", text: `${values.typed_model} on ${place}. ${check}` };
  }
  const text = `${choice.model.title} on ${place}.`;
  if (!choice.verdict.tight) return { look: "success", label: "Fits", text };
  return { look: "warning", label: "Tight", text: `${text} Expect short conversations, or few people at once.` };
}

// Names the limit behind a refusal: a QoS that serves fewer of these GPUs and would allow the rest.
function limitText(values, { refusal, offer }) {
  if (!["hours_of_qos", "qos"].includes(refusal.sentence)) return "";
  const others = offersOf(offer.gpu_type).filter((each) => Number(each.num_gpus) < Number(offer.num_gpus));
  for (const other of others.reverse()) {
    const qos = other.qos.find(({ name, max_hours }) => {
      const isMeant = refusal.sentence === "qos" ? name === values.qos : max_hours >= Number(values.bc_num_hours);
      return isMeant && ["", name].includes(values.qos);
    });
    if (!qos) continue;
    return `QoS ${qos.name} allows ${hoursText(qos.max_hours)}, but to one person no more than ${placeTitle(other)}.`;
  }
  return "";
}

function factsOf(values, choice) {
  const { verdict, gpuType, offer, qos, refusal } = choice;
  const facts = [];
  if (gpuType?.note) facts.push(fact("GPU type", gpuType.note));
  if (verdict?.fits && verdict.weights) facts.push(fact("Memory", ...memoryOf(choice)));
  if (verdict?.fits && values.lora_folder) facts.push(fact("LoRA", UNCOUNTED_LORA));
  if (verdict?.replicas > 1) facts.push(fact("Replicas", replicasText(choice)));
  if (verdict?.fits) facts.push(fact("Context", contextText(choice)));
  if (!refusal) facts.push(fact("Price", priceText(choice, values.account)));
  if (qos) facts.push(fact("Runs in", queueText(offer, qos)));
  return facts;
}

function queueText({ partition }, { name, max_hours }) {
  return [`partition ${partition}`, ...(name ? [`QoS ${name}`] : []), `up to ${hoursText(max_hours)}`].join(", ");
}

function fact(term, ...what) {
  return [element("dt", "col-sm-3", term), element("dd", "col-sm-9 mb-2", ...what)];
}

function memoryOf({ verdict, gpuType, offer }) {
  const parts = [
    ["weights", verdict.weights, "primary"],
    ["working memory", verdict.overhead, "secondary"],
    ["room for conversations", verdict.kvCache, "success"],
  ];
  const bar = element("div", "progress mb-1");
  bar.setAttribute("aria-hidden", "true");
  bar.style.height = "0.5rem";
  const words = parts.flatMap(([name, gib, look]) => {
    const part = element("div", `progress-bar bg-${look}`);
    part.style.width = `${(100 * gib) / gpuType.memory_gib}%`;
    bar.append(part);
    return [swatch(look), `${gib.toFixed(1)} GiB ${name}, `];
  });
  return [bar, ...words, `of ${gpuType.memory_gib} GiB${offer.num_gpus === "1" ? "" : " on each GPU"}`];
}

function swatch(look) {
  const made = element("span", `d-inline-block rounded-circle mr-1 me-1 bg-${look}`);
  made.style.width = made.style.height = "0.6em";
  return made;
}

function contextText({ verdict, contextLength }) {
  const { longest, people } = verdict;
  if (!people.length || contextLength > longest) return `up to ${longest} tokens`;
  if (contextLength === null) return `up to ${longest} tokens, for ${peopleText(people.at(-1))}`;
  return `${contextLength} tokens, for ${peopleText(peopleAt(verdict, contextLength))}; up to ${longest} would fit`;
}

function peopleText(people) {
  return people === 1 ? "1 person at once" : `${people} people at once`;
}

function suggestionItem({ text, label, changes }, take) {
  const button = element("button", "btn btn-sm btn-secondary", label);
  button.type = "button";
  button.addEventListener("click", () => take(changes));
  const look = "d-flex flex-wrap justify-content-between align-items-center border-top pt-2 mt-2";
  return element("li", look, element("span", "mr-3 me-3", text), button);
}
