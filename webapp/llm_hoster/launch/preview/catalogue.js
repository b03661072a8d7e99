// What the script knows: `data` is the line that `llm-hoster configure` wrote above. Everything is looked up in it.

const places = data.places.map((index) => data.offers[index]);

function byName(entries, name) {
  return entries.find((entry) => entry.name === name);
}

function names(entries) {
  return entries.map((entry) => entry.name).join(", ");
}

function titles(entries) {
  return entries.map((entry) => entry.title).join(", ");
}

// Titles say what an option is, and after a colon what it does.
function shortTitle(option) {
  return option.title.split(":")[0];
}

function offersOf(gpuType) {
  return data.offers.filter((offer) => offer.gpu_type === gpuType);
}

function findOffer(gpuType, numGpus) {
  return offersOf(gpuType).find((offer) => offer.num_gpus === numGpus);
}

function placeTitle(offer) {
  return `${offer.num_gpus} x ${byName(data.gpu_types, offer.gpu_type).title}`;
}

// A verdict is [weights, working memory, room for conversations, longest context, people, tight, replicas], all memory
// in GiB and of one GPU; or [kind of refusal, its values].
function findVerdict(model, offer, quantization, preset) {
  const variant = data.variants.indexOf(`${quantization}/${preset}`);
  const verdict = data.verdicts[data.fits[model][data.offers.indexOf(offer)][variant]];
  if (typeof verdict[0] === "string") return { fits: false, kind: verdict[0], values: verdict[1] };
  const [weights, overhead, kvCache, longest, people, tight, replicas] = verdict;
  return { fits: true, weights, overhead, kvCache, longest, people, tight: Boolean(tight), replicas };
}

// Conversations at once: `people` has a number for each context length below the longest, and one for the longest.
function peopleAt(verdict, contextLength) {
  if (contextLength === verdict.longest) return verdict.people.at(-1);
  return verdict.people[data.context_lengths.indexOf(contextLength)];
}

function replicasText({ verdict, offer }) {
  const each = offer.num_gpus / verdict.replicas;
  return fill(each === 1 ? "replicas_of_one" : "replicas", { replicas: verdict.replicas, num_gpus: each });
}

function fill(sentence, values) {
  return data.sentences[sentence].replace(/%\{([a-z_]+)\}/g, (_, name) => values[name]);
}

// Quotes a value and cuts it, counting characters as Python and Ruby do.
function shown(value) {
  return JSON.stringify(Array.from(value).slice(0, 60).join(""));
}
