// The dialog that holds the API address. Without this module the link opens a page instead.
export function watchPanel() {
  document.addEventListener("htmx:afterSwap", (event) => {
    const panel = document.getElementById("panel");
    if (event.detail.target.id === "panel-content" && !panel.open) panel.showModal();
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "panel") event.target.close(); // The backdrop belongs to the dialog itself.
  });
  // The key must not stay in the page behind a closed dialog.
  document.getElementById("panel")?.addEventListener("close", () => {
    document.getElementById("panel-content").replaceChildren();
  });
}
