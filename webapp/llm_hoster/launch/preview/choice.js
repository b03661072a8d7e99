// The form's values, looked up. The checks, their order and their words are those of catalogue/choice.py.

const OTHER_MODEL = "other";
const AUTO = "auto";
const WHOLE_NUMBER = /^(0|[1-9][0-9]{0,8})$/;
const HUGGING_FACE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
const FOLDER = /^\/[^\x00-\x1f\x7f]{0,1023}$/u;
const SLURM_NAME = /^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$/;

// `sentence` is the key of the words, which is all that a suggestion needs to know.
class Refusal extends Error {
  constructor(sentence, values) {
    super(fill(sentence, values));
    this.sentence = sentence;
  }
}

// Gives what was found before the first check that failed, with `refusal` where one did.
function choose(values) {
  const choice = {};
  try {
    choice.gpuType = chooseGpuType(values);
    choice.offer = chooseOffer(values, choice.gpuType);
    choice.model = chooseModel(values);
    choice.quantization = chooseOption(values, "quantization", data.quantizations);
    choice.preset = chooseOption(values, "preset", data.presets);
    choice.contextLength = chooseContextLength(values);
    if (choice.model) {
      choice.verdict = findVerdict(values.model, choice.offer, values.quantization, values.preset);
      checkFit(values, choice);
    }
    choice.qos = chooseQos(values, choice.offer);
    choice.hours = Number(values.bc_num_hours);
    choice.chain = chooseChain(values, choice);
    checkTexts(values);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    choice.refusal = error;
  }
  return choice;
}

function chooseGpuType({ gpu_type }) {
  const gpuType = byName(data.gpu_types, gpu_type);
  if (!gpuType) throw new Refusal("gpu_type", { value: shown(gpu_type), offered: titles(data.gpu_types) });
  return gpuType;
}

function chooseOffer({ num_gpus }, gpuType) {
  const offer = findOffer(gpuType.name, num_gpus);
  if (offer) return offer;
  if (gpuType.is_slice && WHOLE_NUMBER.test(num_gpus) && Number(num_gpus) > 1) {
    throw new Refusal("slices", { gpu_type: gpuType.title, value: num_gpus });
  }
  const offered = offersOf(gpuType.name).map((each) => each.num_gpus).join(", ");
  throw new Refusal("num_gpus", { value: shown(num_gpus), gpu_type: gpuType.title, offered });
}

// Gives null for a model that the person typed. Beside another one nothing is typed: the field is not shown then.
function chooseModel({ model, typed_model }) {
  if (model === OTHER_MODEL) {
    if (HUGGING_FACE_ID.test(typed_model) || FOLDER.test(typed_model)) return null;
    throw new Refusal("typed_model", { value: shown(typed_model) });
  }
  const found = byName(data.models, model);
  if (found) return found;
  const offered = titles([...data.models, { title: fill("other_model", {}) }]);
  throw new Refusal("model", { value: shown(model), offered });
}

function chooseOption(values, field, options) {
  const option = byName(options, values[field]);
  if (option) return option;
  throw new Refusal(field, { value: shown(values[field]), offered: options.map(shortTitle).join(", ") });
}

// Gives null for as long as fits.
function chooseContextLength({ context_length }) {
  const offered = [AUTO, ...data.context_lengths.map(String)];
  if (!offered.includes(context_length)) {
    throw new Refusal("context_length", { value: shown(context_length), offered: offered.join(", ") });
  }
  return context_length === AUTO ? null : Number(context_length);
}

function checkFit(values, { model, offer, verdict, contextLength }) {
  if (holds(values, offer, ownVariant(values))) return;
  const texts = { model: model.title, place: placeTitle(offer), advice: advise(values) };
  if (!verdict.fits) throw new Refusal("does_not_fit", { ...texts, reason: fill(verdict.kind, verdict.values) });
  const [value, longest] = [String(contextLength), String(verdict.longest)];
  throw new Refusal("context_too_long", { ...texts, value, longest });
}

function chooseQos(values, offer) {
  const place = placeTitle(offer);
  const allowed = offer.qos.filter((each) => values.qos === "" || values.qos === each.name);
  if (!allowed.length) {
    const offered = names(offer.qos.filter((each) => each.name)) || "none";
    throw new Refusal("qos", { value: shown(values.qos), place, offered });
  }
  const found = servingQos(values, offer);
  if (found) return found;
  const { name, max_hours } = longestQos(allowed);
  const texts = { value: shown(values.bc_num_hours), place, longest: String(max_hours) };
  throw name ? new Refusal("hours_of_qos", { ...texts, qos: name }) : new Refusal("hours", texts);
}

function servingQos({ qos, bc_num_hours }, offer) {
  if (!WHOLE_NUMBER.test(bc_num_hours) || bc_num_hours === "0") return undefined;
  return offer.qos.find(({ name, max_hours }) => max_hours >= Number(bc_num_hours) && ["", name].includes(qos));
}

function longestQos(qos) {
  return qos.reduce((longest, each) => (each.max_hours > longest.max_hours ? each : longest));
}

// How many sessions in a row.
function chooseChain({ chain_length: chain }, { qos, offer }) {
  const { chain_max: longest } = qos;
  if (WHOLE_NUMBER.test(chain) && chain !== "0" && Number(chain) <= longest) return Number(chain);
  const texts = { value: shown(chain), place: placeTitle(offer), longest: String(longest) };
  throw new Refusal(longest > 1 ? "chain_length" : "chain_of_one", texts);
}

function checkTexts(values) {
  for (const field of ["account", "reservation"]) {
    if (!SLURM_NAME.test(values[field])) throw new Refusal(field, { value: shown(values[field]) });
  }
  if (values.lora_folder && !FOLDER.test(values.lora_folder)) {
    throw new Refusal("lora_folder", { value: shown(values.lora_folder) });
  }
  const minutes = values.idle_minutes;
  if (!WHOLE_NUMBER.test(minutes) || Number(minutes) > data.idle_minutes_max) {
    throw new Refusal("idle_minutes", { value: shown(minutes), longest: String(data.idle_minutes_max) });
  }
}
