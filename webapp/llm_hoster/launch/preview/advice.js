// The end of a refusal for want of room: what Launch would accept. The same as advise() of catalogue/choice.py.

// A variant is [quantisation, preset], both by name.
function ownVariant({ quantization, preset }) {
  return [quantization, preset];
}

function holds({ model, context_length }, offer, [quantization, preset]) {
  const verdict = findVerdict(model, offer, quantization, preset);
  return verdict.fits && (context_length === AUTO || Number(context_length) <= verdict.longest);
}

// Names another place, else another variant here, else both; of places the cheapest. Where it would be replicas here,
// another preset comes first, with which the same GPUs share one model.
function advise(values) {
  const [here, own] = [findOffer(values.gpu_type, values.num_gpus), ownVariant(values)];
  const [served, variants] = [servedPlaces(values), variantsFrom(own)];
  const hasReplicas = findVerdict(values.model, here, ...own).replicas > 1;
  const together = hasReplicas ? data.presets.map(({ name }) => [values.quantization, name]) : [];
  const tries = [
    ...together.filter(() => served.includes(here)).map((variant) => [here, variant]),
    ...served.map((offer) => [offer, own]),
    ...variants.filter(() => served.includes(here)).map((variant) => [here, variant]),
    ...variants.flatMap((variant) => served.map((offer) => [offer, variant])),
  ];
  const found = tries.find(([offer, variant]) => holds(values, offer, variant));
  if (!found) return fill("no_advice", {});
  const [offer, variant] = found;
  const words = variantText(variant, own);
  const kind = !words ? "advice" : offer === here ? "advice_here" : "advice_elsewhere";
  return fill(kind, { place: placeTitle(offer), variant: words });
}

// The places that the hours and the QoS of the form leave, the cheapest first.
function servedPlaces(values) {
  const price = (offer) => servingQos(values, offer).su_per_hour;
  return places.filter((offer) => servingQos(values, offer)).sort((one, other) => price(one) - price(other));
}

// One's own first, then those in another quantisation, in another preset, in both.
function variantsFrom([quantization, preset]) {
  const variants = data.quantizations.flatMap(({ name }) => data.presets.map((each) => [name, each.name]));
  const distance = (variant) => 2 * (variant[1] !== preset) + (variant[0] !== quantization);
  return variants.sort((one, other) => distance(one) - distance(other));
}

// Names what of a variant is not one's own.
function variantText(variant, own) {
  const kinds = { advice_quantization: data.quantizations, advice_preset: data.presets };
  const texts = Object.entries(kinds).map(([kind, options], index) => {
    const name = variant[index];
    return name === own[index] ? "" : fill(kind, { title: shortTitle(byName(options, name)) });
  });
  return texts.filter(Boolean).join(", ");
}
