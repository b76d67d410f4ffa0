// `n` and `p` go to the next and the previous difference; where there is none left, to the page that has more.
// The steps of long runs come after the page: an address that names the first difference is followed then.

function differences() {
  return [...document.querySelectorAll("tr[data-differs]")];
}

function show(row) {
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "center" });
}

function go(forward) {
  const rows = differences();
  const here = rows.indexOf(document.activeElement?.closest("tr[data-differs]"));
  const next = here < 0 ? (forward ? 0 : rows.length - 1) : here + (forward ? 1 : -1);
  if (rows[next]) show(rows[next]);
  else document.querySelector(`.pager a[rel="${forward ? "next" : "prev"}"]`)?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "n") go(true);
  else if (event.key === "p") go(false);
});

document.addEventListener("htmx:after:swap", () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) target.scrollIntoView();
});
