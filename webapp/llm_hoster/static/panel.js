// The dialog that holds a panel. Without this module the link opens a page instead.
export function watchPanel() {
  const panel = document.getElementById("panel");
  if (!panel) return; // The page is nothing but a panel.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "panel-content" && !panel.open) panel.showModal();
  });
  // What a form of the panel has changed is shown outside of it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { requestConfig, target, isError } = event.detail;
    if (panel.contains(requestConfig.elt) && !panel.contains(target) && !isError) panel.close();
  });
  panel.addEventListener("click", (event) => {
    if (event.target === panel) panel.close(); // The backdrop belongs to the dialog itself.
  });
  // The key must not stay in the page behind a closed dialog.
  panel.addEventListener("close", () => {
    for (const part of panel.children) part.replaceChildren();
  });
}
