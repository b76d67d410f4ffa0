// What every page does with scripts: times in the viewer's zone. UTC stays on hover.

const shape = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    time.textContent = shape.format(when);
    time.dataset.local = "";
  }
}

export function token() {
  return document.querySelector('meta[name="token"]')?.content ?? "";
}

localise(document);
const zone = document.querySelector("[data-zone]");
if (zone) zone.textContent = `Times are ${shape.resolvedOptions().timeZone}`;
// Parts that come later: pages of lists, fragments, live rows.
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) {
      if (node.nodeType === Node.ELEMENT_NODE) localise(node.parentNode ?? node);
    }
  }
}).observe(document.body, { childList: true, subtree: true });
