// Every change of a field is looked up at once. Nothing here holds Launch back: it checks again, on the portal.

function readValues() {
  const values = { ...data.defaults };
  for (const name of Object.keys(values)) {
    const control = name === "account" ? (field("auto_accounts") ?? field("bc_account")) : field(name);
    if (control) values[name] = control.value;
  }
  if (values.model !== OTHER_MODEL) values.typed_model = "";
  return values;
}

function start(form) {
  groupModels(field("model"));
  const more = foldMore(form);
  const preview = makePanel(rowOf(findLaunch(form), form));
  let drawn = "";
  let summary = "";

  // A press on a button of the panel takes the focus from a field, which then reports its change a second time: drawing
  // the panel anew would take the button away under the mouse.
  function update() {
    const values = readValues();
    if (JSON.stringify(values) === drawn) return;
    drawn = JSON.stringify(values);
    showTypedModel(form, values);
    markQos(values);
    summary = showChoice(preview, values, choose(values), take);
  }

  function take(changes) {
    for (const [name, value] of Object.entries(changes)) {
      const control = field(name);
      control.value = value;
      if (more?.contains(control)) more.open = true;
      for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
    }
    preview.panel.focus();
  }

  for (const kind of ["input", "change"]) {
    form.addEventListener(kind, () => {
      update();
      announce(preview, summary);
    });
  }
  // A browser that comes back to the page fills its fields in again without a word.
  window.addEventListener("pageshow", update);
  update();
}

function findLaunch(form) {
  return form.querySelector("input[type=submit]") ?? form.querySelector("[type=submit]");
}

if (field("model")) start(field("model").form);
