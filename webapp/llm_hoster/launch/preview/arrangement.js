// How the fields are laid out: models in groups, the rare fields under More, no field that has nothing to say.

const MORE_FIELDS = Object.keys(data.more_defaults);

function field(name) {
  return document.getElementById(`batch_connect_session_context_${name}`);
}

// Everything of a field - label, help, hidden inputs - lies in one child of the form, in each release of OnDemand.
function rowOf(control, parent) {
  let row = control;
  while (row.parentElement !== parent) row = row.parentElement;
  return row;
}

// Without this script each option begins with the name of its group.
function groupModels(select) {
  const { value } = select;
  const groups = new Map();
  for (const option of select.options) {
    const group = byName(data.models, option.value)?.group;
    if (group) groups.set(group, [...(groups.get(group) ?? []), option]);
  }
  if (groups.size < 2) return;
  for (const [label, options] of groups) {
    const group = element("optgroup", "");
    group.label = label;
    options[0].before(group);
    group.append(...options);
    for (const option of options) option.text = option.text.replace(`${label}: `, "");
  }
  select.value = value; // A browser drops the choice of an option that moves.
}

// Opens when something in it is not as usual, and when the browser points at a value in it that it does not take.
function foldMore(form) {
  const controls = MORE_FIELDS.map(field).filter(Boolean);
  if (!controls.length) return null;
  const rows = controls.map((control) => rowOf(control, form));
  const more = element("details", "mb-3", element("summary", "mb-2", "More"));
  rows[0].before(more);
  more.append(...rows);
  more.open = controls.some((control) => !isDefault(control) || !control.checkValidity());
  more.addEventListener("invalid", () => { more.open = true; }, true);
  return more;
}

function isDefault(control) {
  const value = control.type === "checkbox" ? String(Number(control.checked)) : control.value;
  return value === data.more_defaults[control.id.replace("batch_connect_session_context_", "")];
}

// A field that is not shown is not sent either: its value waits, and can be neither wrong nor in the way.
function showTypedModel(form, values) {
  const typed = field("typed_model");
  if (!typed) return;
  typed.disabled = values.model !== OTHER_MODEL;
  rowOf(typed, form).hidden = typed.disabled;
}

function markQos(values) {
  const offer = findOffer(values.gpu_type, values.num_gpus);
  for (const option of field("qos")?.options ?? []) {
    // A chosen option stays: browsers do not send a disabled one, and the panel says what is wrong with it.
    option.disabled = Boolean(offer && option.value) && !option.selected && !byName(offer.qos, option.value);
  }
}
