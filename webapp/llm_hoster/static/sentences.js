// What scripts say, in the reader's language: the page brings it by its English, and nothing where that is the language.
const translations = JSON.parse(document.querySelector("meta[name=sentences]")?.content ?? "{}");

// Values take the places of %(name)s.
export function sentence(english, values = {}) {
  return (translations[english] || english).replace(/%\((\w+)\)s/g, (place, name) => values[name] ?? place);
}
