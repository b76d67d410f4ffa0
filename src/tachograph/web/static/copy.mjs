// A button beside everything that is there to be copied: `data-copy`.

function offer(shown) {
  if (shown.dataset.copy) return;
  shown.dataset.copy = "offered";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${shown.textContent.trim().slice(0, 60)}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(shown.textContent.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown); // no permission, or no HTTPS: it is selected instead
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  shown.after(button);
}

function look(root) {
  for (const shown of root.querySelectorAll("[data-copy]")) offer(shown);
}

look(document);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node.nodeType === Node.ELEMENT_NODE) look(node.parentNode ?? node);
  }
}).observe(document.body, { childList: true, subtree: true });
