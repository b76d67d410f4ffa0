// Texts of a step: copied as they were recorded, and large ones shown where they are asked for.

const SHOWN = 1_000_000;

export function enliven(root) {
  if (navigator.clipboard) {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  }
}

async function copy(button) {
  try {
    const answer = await fetch(button.dataset.copy);
    if (!answer.ok) throw new Error(String(answer.status));
    await navigator.clipboard.writeText(await answer.text());
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

async function more(link) {
  const place = link.closest("p");
  const raw = link.closest(".text").querySelector("[data-copy]").dataset.copy;
  place.textContent = "It is on its way …";
  const answer = await fetch(raw).catch(() => null);
  if (!answer?.ok) {
    place.replaceChildren("It could not be read: ", link);
    return;
  }
  const text = await answer.text();
  const shown = document.createElement("pre");
  shown.className = "tree";
  shown.tabIndex = 0;
  shown.textContent = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  place.replaceWith(shown);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const link = event.target.closest("[data-more]");
  if (link && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    more(link);
  }
});
enliven(document);
