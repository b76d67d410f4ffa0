// The timeline: rows that come as one scrolls, keys, folding and zooming in place, details beside it.

import { follow } from "./follow.mjs";
import { Panel } from "./panel.mjs";
import { Rows } from "./rows.mjs";
import { zooming } from "./zoom.mjs";

const section = document.getElementById("waterfall");
const grid = section.querySelector(".grid");
const rows = new Rows(section, dressed);
const panel = new Panel(document.querySelector("[data-panel]"), () => {
  place({ step: null });
  row()?.focus({ preventScroll: true });
});
let chosen = grid.querySelector(".line.at")?.id ?? null;

// ---- what the address says -----------------------------------------------------------------------------------------

export function place(changes) {
  const asked = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries({ offset: null, ...changes })) {
    if (value === null || value === "") asked.delete(name);
    else asked.set(name, value);
  }
  const text = asked.toString();
  history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}`);
}

async function look(changes) {
  place(changes);
  await rows.again().catch(() => location.reload()); // which says what is wrong
}

// ---- rows ----------------------------------------------------------------------------------------------------------

function row() {
  return (chosen && document.getElementById(chosen)) || grid.querySelector(".line[data-step]");
}

// What a stretch that came needs: which row is chosen, and what stands beside the rows.
function dressed(lines) {
  for (const line of lines.querySelectorAll('.line[tabindex="0"]')) line.tabIndex = -1;
  const kept = chosen && lines.querySelector(`#${CSS.escape(chosen)}`);
  if (kept) mark(kept);
  else if (!chosen && lines.firstElementChild) lines.firstElementChild.tabIndex = 0;
  section.querySelector("[data-total]").textContent = Number(lines.dataset.total).toLocaleString("en");
  const ticks = lines.dataset.ticks.split("|");
  grid.querySelectorAll(".ticks span").forEach((tick, at) => (tick.textContent = ticks[at] ?? ""));
  zoom.told(Number(lines.dataset.since), Number(lines.dataset.until));
}

function mark(line) {
  line.tabIndex = 0;
  line.setAttribute("aria-selected", "true");
}

function choose(line, { focus = true } = {}) {
  if (!line) return;
  for (const old of grid.querySelectorAll('.line[aria-selected="true"], .line[tabindex="0"], .line.at')) {
    old.removeAttribute("aria-selected");
    old.classList.remove("at");
    old.tabIndex = -1;
  }
  chosen = line.id;
  mark(line);
  if (focus) {
    line.focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  }
  if (panel.isOpen) soon(() => open(line, false));
}

let waiting = 0;
function soon(run) {
  clearTimeout(waiting);
  waiting = setTimeout(run, 120);
}

async function open(line, focus = true) {
  place({ step: line.dataset.step });
  await panel.open(line.querySelector(".name").getAttribute("href"), { focus });
}

// ---- folding -------------------------------------------------------------------------------------------------------

const level = (line) => Number(line.getAttribute("aria-level"));

async function fold(line) {
  const key = line.id.slice(1);
  const others = (new URLSearchParams(location.search).get("but") ?? "").split(",").filter(Boolean);
  const but = others.includes(key) ? others.filter((each) => each !== key) : [...others, key];
  choose(line);
  await look({ but: but.join(",") });
}

async function outward(line) {
  if (line.getAttribute("aria-expanded") === "true") return fold(line);
  let above = line;
  if (level(line) === 2) above = (await rows.at(0))?.firstElementChild;
  else while (above && level(above) >= level(line)) above = await rows.beside(above, -1);
  choose(above);
}

async function inward(line) {
  if (line.getAttribute("aria-expanded") === "false") return fold(line);
  const next = await rows.beside(line, 1);
  if (next && level(next) > level(line)) choose(next);
}

// ---- keys and the mouse --------------------------------------------------------------------------------------------

const keys = {
  ArrowDown: async (line) => choose(await rows.beside(line, 1)),
  ArrowUp: async (line) => choose(await rows.beside(line, -1)),
  ArrowLeft: outward,
  ArrowRight: inward,
  Home: async () => choose((await rows.at(0))?.firstElementChild),
  End: async () => choose((await rows.at(-1))?.lastElementChild),
  Enter: (line) => {
    choose(line);
    return open(line);
  },
  Escape: () => panel.close(),
  z: (line) => zoom.to(Number(line.dataset.begin), Number(line.dataset.end)),
  "+": () => zoom.by(0.5),
  "=": () => zoom.by(0.5),
  "-": () => zoom.by(2),
  0: () => zoom.whole(),
};
keys.j = keys.ArrowDown;
keys.k = keys.ArrowUp;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target.closest?.(".line[data-step]");
  const is_busy = event.target.closest?.("input, select, textarea, summary, [data-panel]");
  if (is_busy || (event.key === "Enter" && event.target.closest?.("a, button"))) return;
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act(at ?? row());
});

grid.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const line = event.target.closest(".line[data-step]");
  if (!line) return;
  event.preventDefault();
  if (event.target.closest(".fold")) fold(line);
  else {
    choose(line);
    open(line, false);
  }
});

// Links to other steps, from the head and from details, lead there without leaving the page.
document.addEventListener("click", (event) => {
  const link = event.target.closest('#run-head a[href*="/steps/"], [data-panel] a[href*="/steps/"]:not(.whole, [download], [data-more])');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const step = link.pathname.split("/").at(-1);
  const line = grid.querySelector(`.line[data-step="${CSS.escape(step)}"]`);
  if (line) choose(line, { focus: false });
  line?.scrollIntoView({ block: "nearest" });
  clearTimeout(waiting);
  place({ step });
  panel.open(link.getAttribute("href"));
});

section.addEventListener("click", (event) => {
  const all = event.target.closest("[data-fold]");
  if (!all || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  look({ fold: all.dataset.fold === "all" ? "all" : null, but: null });
});

const zoom = zooming(section, look);
section.querySelector("[data-keys]").hidden = false;
if (chosen) {
  const line = document.getElementById(chosen);
  choose(line, { focus: false });
  line.scrollIntoView({ block: "center" });
  open(line, false);
} else if (new URLSearchParams(location.search).has("step")) {
  const step = new URLSearchParams(location.search).get("step");
  panel.open(`${location.pathname}/steps/${encodeURIComponent(step)}`, { focus: false });
}

// ---- what goes on --------------------------------------------------------------------------------------------------

if (section.dataset.live) {
  const label = section.querySelector("[data-follow]");
  label.hidden = false;
  follow(section, async () => {
    const head = fetch(section.dataset.head).then((answer) => (answer.ok ? answer.text() : ""));
    await rows.again();
    const fresh = new DOMParser().parseFromString(await head, "text/html").getElementById("run-head");
    if (fresh) document.getElementById("run-head").replaceWith(document.adoptNode(fresh));
    if (label.firstElementChild.checked) (await rows.at(-1))?.lastElementChild?.scrollIntoView({ block: "end" });
  });
}
