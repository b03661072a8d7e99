// What a person might take instead. Each is held against choose() first, so what is offered here Launch accepts.

const MENDS = {
  does_not_fit: [otherQuantization, otherPreset, cheapestPlace],
  context_too_long: [longestContext, otherPreset, cheapestPlace],
  slices: [otherNumber, cheapestPlace],
  num_gpus: [otherNumber, cheapestPlace],
  hours: [fewerHours, cheapestPlace],
  hours_of_qos: [otherQos, fewerHours, cheapestPlace],
  qos: [otherQos, cheapestPlace],
  chain_length: [fewerInARow],
  chain_of_one: [fewerInARow],
};

// Gives { text, label, changes } for each: the words, those of the button, and the fields that it sets.
function suggest(values, choice) {
  const finders = choice.refusal ? (MENDS[choice.refusal.sentence] ?? []) : [cheaperPlace];
  const found = finders.map((find) => find(values, choice)).filter(Boolean);
  return found.filter((each, index) => found.findIndex((other) => other.label === each.label) === index);
}

// Gives what choose() makes of some changes, or null when it refuses them.
function attempt(values, changes) {
  const choice = choose({ ...values, ...changes });
  return choice.refusal ? null : { ...choice, changes };
}

function firstOf(values, listOfChanges) {
  for (const changes of listOfChanges) {
    const choice = attempt(values, changes);
    if (choice) return choice;
  }
  return null;
}

function otherQuantization(values) {
  const choice = firstOf(values, data.quantizations.map(({ name }) => ({ quantization: name })));
  return choice && suggestOption(choice, choice.quantization);
}

function otherPreset(values) {
  const choice = firstOf(values, data.presets.map(({ name }) => ({ preset: name })));
  return choice && suggestOption(choice, choice.preset);
}

function suggestOption(choice, option) {
  const room = `up to ${choice.verdict.longest} tokens`;
  return { text: `${option.title}. Then it fits here, with ${room}.`, ...taking(shortTitle(option), choice) };
}

function longestContext(values) {
  const choice = attempt(values, { context_length: AUTO });
  return choice && { text: `Up to ${choice.verdict.longest} tokens fit here.`, ...taking("as long as fits", choice) };
}

function otherNumber(values) {
  const offers = offersOf(values.gpu_type);
  const choice = firstOf(values, offers.map(({ num_gpus }) => ({ num_gpus })));
  return choice && suggestPlace(choice);
}

function fewerHours(values, { offer }) {
  const { max_hours: longest } = longestQos(offer.qos.filter(({ name }) => ["", name].includes(values.qos)));
  const choice = Number(values.bc_num_hours) > longest && attempt(values, { bc_num_hours: String(longest) });
  return choice && { text: `Up to ${hoursText(longest)} here.`, ...taking(hoursText(longest), choice) };
}

function fewerInARow(values, { qos }) {
  const choice = attempt(values, { chain_length: String(qos.chain_max) });
  const what = qos.chain_max === 1 ? "one session" : `${qos.chain_max} in a row`;
  return choice && { text: `Here it can be ${what}.`, ...taking(what, choice) };
}

function otherQos(values, { offer }) {
  const choice = firstOf(values, offer.qos.filter(({ name }) => name).map(({ name }) => ({ qos: name })));
  if (!choice) return null;
  const { name, max_hours, su_per_hour } = choice.qos;
  const text = `QoS ${name} gives it up to ${hoursText(max_hours)}: ${suText(su_per_hour)} SU an hour.`;
  return { text, ...taking(`QoS ${name}`, choice) };
}

// The cheapest place for the same wish; where there is none, the cheapest in another quantisation or preset.
function cheapestPlace(values, { offer }) {
  if (values.model === OTHER_MODEL) return null;
  for (const variant of variantsFrom(ownVariant(values))) {
    const [choice] = placesFor(values, changesTo(variant, values));
    if (choice) return choice.offer === offer ? null : suggestPlace(choice);
  }
  return null;
}

function changesTo([quantization, preset], values) {
  const changes = Object.entries({ quantization, preset }).filter(([name, value]) => values[name] !== value);
  return Object.fromEntries(changes);
}

// Gives the places that hold it, the cheapest first. Their order in the catalogue does not know which QoS serves.
function placesFor(values, changes = {}) {
  const found = places.map(({ gpu_type, num_gpus }) => attempt(values, { ...changes, gpu_type, num_gpus }));
  return found.filter(Boolean).sort((one, other) => one.qos.su_per_hour - other.qos.su_per_hour);
}

function suggestPlace(choice) {
  const changed = ["quantization", "preset"].filter((name) => name in choice.changes);
  const how = changed.length ? ` with ${changed.map((name) => `"${shortTitle(choice[name])}"`).join(" and ")}` : "";
  const title = placeTitle(choice.offer);
  const verb = choice.verdict ? "holds it" : "is possible";
  return { text: `${title} ${verb}${how}: ${suText(choice.qos.su_per_hour)} SU an hour.`, ...taking(title, choice) };
}

function cheaperPlace(values, current) {
  if (!current.verdict) return null;
  const choice = placesFor(values).find(({ verdict }) => current.verdict.tight || !verdict.tight);
  if (choice.qos.su_per_hour >= current.qos.su_per_hour) return null;
  const [price, instead] = [suText(choice.qos.su_per_hour), suText(current.qos.su_per_hour)];
  let text = `${placeTitle(choice.offer)} holds it too: ${price} instead of ${instead} SU an hour.`;
  if (choice.contextLength === null && choice.verdict.longest < current.verdict.longest) {
    text += ` Its longest context is ${choice.verdict.longest} tokens.`;
  }
  return { text, ...taking(placeTitle(choice.offer), choice) };
}

function taking(what, { changes }) {
  return { label: `Take ${what}`, changes };
}
