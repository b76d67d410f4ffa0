// What lists have in common: parts that come later, keys, and addresses without what was left blank.

/** The elements of a fragment of a page. Nothing in it runs: it is parsed apart, and the server escaped its text. */
export async function fragment(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").body;
}

const rows = () => [...document.querySelectorAll("[data-row]")];

/** The row with the focus, or none. */
export function here() {
  return document.activeElement?.closest("tr, li")?.querySelector("[data-row]") ?? null;
}

function walk(step) {
  const all = rows();
  const at = all.indexOf(here());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (!next) return;
  next.focus({ preventScroll: true });
  next.closest("tr, li").scrollIntoView({ block: "nearest" });
}

function pick(side) {
  const box = here()?.closest("tr")?.querySelector(`input[name="${side}"]`);
  if (box) box.checked = true;
}

const keys = {
  "/": () => {
    const field = document.querySelector("[data-focus]");
    field?.focus();
    field?.select();
  },
  j: () => walk(1),
  k: () => walk(-1),
  n: () => document.querySelector('[data-key="n"]')?.click(),
  p: () => document.querySelector('[data-key="p"]')?.click(),
  a: () => pick("left"),
  b: () => pick("right"),
  c: () => document.querySelector("[data-compare]")?.click(),
  "?": () => document.querySelector("[data-keys]")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const writes = event.target.closest?.("input:not([type=radio], [type=checkbox]), select, textarea, [contenteditable]");
  if (writes) {
    if (event.key === "Escape") writes.blur();
    return;
  }
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const hint of document.querySelectorAll("[data-hint]")) hint.hidden = false;

// What is blank, or as it is anyway, stays out of the address.
for (const form of document.querySelectorAll("[data-conditions]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === (field.dataset.default ?? "")) field.disabled = true;
    }
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("[data-conditions] :disabled")) field.disabled = false;
});

// Two runs are compared only when two are chosen.
const comparing = document.querySelector("#compare");
comparing?.addEventListener("submit", (event) => {
  const chosen = new FormData(comparing);
  if (chosen.get("left") && chosen.get("right") && chosen.get("left") !== chosen.get("right")) return;
  event.preventDefault();
  comparing.querySelector("[role=status]").textContent = "Choose A in one row and B in another";
});

for (const place of document.querySelectorAll("[data-later]")) {
  fragment(place.dataset.later).then(
    (body) => place.replaceChildren(...body.childNodes),
    () => {
      // Its link stays, which asks for the same.
      for (const said of place.querySelectorAll("[data-waiting]")) said.textContent = said.dataset.waiting;
    },
  );
}
