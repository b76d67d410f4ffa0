// A part of a run's time, looked at closer: buttons, fields, and dragging over the bars.

const LEAST = 5;

export function zooming(section, look) {
  const span = Number(section.dataset.span);
  const grid = section.querySelector(".grid");
  const form = section.querySelector(".zoom");
  let since = Number(form.elements.since.value);
  let until = Number(form.elements.until.value);

  function told(from, to) {
    [since, until] = [from, to];
    form.elements.since.value = String(from);
    form.elements.until.value = String(to);
    const is_whole = !new URLSearchParams(location.search).has("since");
    for (const name of ["out", "whole"]) form.querySelector(`[data-zoom="${name}"]`).hidden = is_whole;
  }

  function to(from, end) {
    const first = Math.max(0, from);
    const last = Math.min(Math.max(span, until), Math.max(end, first + 0.001));
    if (first <= 0 && last >= span) return whole();
    [since, until] = [first, last]; // the next key may come before the rows do
    return look({ since: first.toFixed(3), until: last.toFixed(3), step: null });
  }

  const whole = () => {
    [since, until] = [0, span];
    return look({ since: null, until: null, step: null });
  };
  const by = (times) => {
    const middle = (since + until) / 2;
    const half = ((until - since) * times) / 2;
    return to(middle - half, middle + half);
  };

  form.addEventListener("submit", (event) => {
    const [from, end] = ["since", "until"].map((name) => Number(form.elements[name].value.replace(",", ".")));
    if (!(end > from)) return;
    event.preventDefault();
    to(from, end);
  });
  form.addEventListener("click", (event) => {
    const link = event.target.closest("[data-zoom]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    ({ in: () => by(0.5), out: () => by(2), whole })[link.dataset.zoom]();
  });
  dragging(grid, (from, end) => to(since + from * (until - since), since + end * (until - since)));
  return { told, to, by, whole };
}

// `chosen(from, to)`: shares of the width that was dragged over.
function dragging(grid, chosen) {
  let axis = null;
  let choice = null;
  let start = 0;
  let moved = false;
  const share = (x) => Math.min(1, Math.max(0, (x - axis.left) / axis.width));

  grid.addEventListener("pointerdown", (event) => {
    const drawn = event.target.closest(".drawn");
    if (!drawn || event.pointerType !== "mouse" || event.button) return;
    axis = drawn.getBoundingClientRect();
    [start, moved] = [event.clientX, false];
    event.preventDefault();
  });
  document.addEventListener("pointermove", (event) => {
    if (!axis || Math.abs(event.clientX - start) < LEAST) return;
    moved = true;
    if (!choice) {
      choice = document.createElement("div");
      choice.className = "choice";
      grid.append(choice);
    }
    const left = axis.left - grid.getBoundingClientRect().left - grid.clientLeft;
    const ends = [share(start), share(event.clientX)].sort((one, other) => one - other);
    choice.style.left = `${left + ends[0] * axis.width}px`;
    choice.style.width = `${(ends[1] - ends[0]) * axis.width}px`;
  });
  document.addEventListener("pointerup", (event) => {
    if (!axis) return;
    const ends = [share(start), share(event.clientX)].sort((one, other) => one - other);
    axis = null;
    choice?.remove();
    choice = null;
    if (moved && ends[1] > ends[0]) chosen(...ends);
  });
  // A drag ends with a click on the row below, which means no row.
  grid.addEventListener("click", (event) => {
    if (moved) event.stopImmediatePropagation();
    moved = false;
  }, true);
}
