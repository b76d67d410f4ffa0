// The list of runs while things happen: rows that change are loaded again, and new runs wait until they are asked for.
// Nothing that is being read moves. What is asked of the server is bounded in rate, whatever comes in.

import { fragment } from "./lists.mjs";

const EVENTS = ["run_started", "run_resumed", "run_ended", "step_ended", "call_started", "call_ended", "tool_ended", "limit_hit"];
const ROWS_MS = 1_000, NEWS_MS = 2_000, OPEN_MS = 5_000, AGAIN_MS = 30_000;
const MOST = 200; // rows in one question: they stand in the address

const table = document.querySelector("[data-runs]");
const button = document.querySelector("[data-news]");
const changed = new Set();
let news = null; // what is on top of the list by now, as it was loaded
let stream = null, place = table?.dataset.place, again = 0;

const row = (run) => table.querySelector(`tr[data-run="${CSS.escape(run)}"]`);

/** Calls the task soon, but not more often than every so many milliseconds, and never twice at a time. */
function paced(task, pause) {
  let waits = false, runs = false, last = 0;
  const go = async () => {
    if (runs) return void setTimeout(go, pause);
    waits = false;
    runs = true;
    try {
      await task();
    } catch {
      // the server is away: the next event asks again
    }
    runs = false;
    last = performance.now();
  };
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(go, Math.max(50, last + pause - performance.now()));
  };
}

const loadRows = paced(async () => {
  const ids = [...changed].slice(0, MOST);
  for (const id of ids) changed.delete(id);
  if (!ids.length) return;
  const body = await fragment(`${table.dataset.update}&longest=${table.dataset.longest}&ids=${ids.join(",")}`);
  for (const fresh of body.querySelectorAll("tr[data-run]")) replace(row(fresh.dataset.run), fresh);
  if (changed.size) loadRows();
}, ROWS_MS);

/** Cell by cell, so that the focus and a choice stay where they are. */
function replace(old, fresh) {
  if (!old) return;
  old.toggleAttribute("data-open", fresh.hasAttribute("data-open"));
  [...fresh.cells].forEach((cell, at) => {
    const before = old.cells[at];
    if (cell.classList.contains("pick") || before.contains(document.activeElement) || plain(before) === plain(cell)) return;
    before.replaceWith(cell);
  });
}

/** A cell as the server sent it: its times are in UTC. */
function plain(cell) {
  const copy = cell.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.replaceWith(time.dateTime);
  return copy.innerHTML;
}

const loadNews = paced(async () => {
  const body = await fragment(`${table.dataset.news}&longest=${table.dataset.longest}&cursor=${encodeURIComponent(table.dataset.top)}`);
  const found = body.querySelector("table");
  const count = found.rows.length;
  news = count ? found : null;
  const more = found.dataset.more === "true" ? "more than " : "";
  button.textContent = `${more}${count} new run${count === 1 ? "" : "s"} \u2013 show`;
  button.hidden = !count;
}, NEWS_MS);

button?.addEventListener("click", () => {
  if (!news || news.dataset.more === "true" || !table.tBodies) return location.reload();
  const fresh = [...news.rows].filter((each) => !row(each.dataset.run));
  for (const each of fresh) {
    each.classList.add("new");
    changed.add(each.dataset.run);
  }
  table.dataset.top = news.dataset.top;
  table.tBodies[0].prepend(...fresh);
  news = null;
  button.hidden = true;
  fresh[0]?.querySelector("[data-row]").focus();
  loadRows();
});

function take(message) {
  place = message.lastEventId || place;
  const { run, body } = JSON.parse(message.data);
  if (row(run)) {
    changed.add(run);
    loadRows();
  } else if (table.dataset.takesNews === "true" && (body.type === "run_started" || body.type === "run_ended")) {
    loadNews();
  }
}

function all() {
  for (const each of table.querySelectorAll("tr[data-run]")) changed.add(each.dataset.run);
  loadRows();
  if (table.dataset.takesNews === "true") loadNews();
}

function follow() {
  const address = new URL(table.dataset.stream, location.href);
  address.searchParams.set("after", place);
  stream = new EventSource(address);
  for (const name of EVENTS) stream.addEventListener(name, take);
  stream.addEventListener("reset", (message) => {
    place = message.lastEventId;
    all();
  });
  stream.addEventListener("error", () => {
    if (stream?.readyState !== EventSource.CLOSED) return; // it comes back by itself
    leave();
    again = setTimeout(follow, AGAIN_MS);
  });
}

function leave() {
  clearTimeout(again);
  stream?.close();
  stream = null;
}

// A browser has few connections for one server: a page that nobody looks at gives its own back.
if (table) {
  if (!document.hidden) follow();
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : stream ?? follow()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && !stream && follow());
  setInterval(() => {
    if (document.hidden) return;
    for (const open of table.querySelectorAll("tr[data-open]")) changed.add(open.dataset.run);
    if (changed.size) loadRows();
  }, OPEN_MS);
}
