// Charts on hover: the value under the pointer stands in the legend. Drawn again by uPlot where it is there; without it
// the charts stay as the server drew them, in the viewer's zone.

const HEIGHT = 144;
const WORDS = 52;
const EDGE = 14;
const dark = matchMedia("(prefers-color-scheme: dark)");

// Days are those of UTC wherever they are read; everything shorter is told on the viewer's clock.
function clock(daily, isShort) {
  const shape = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short", ...(daily && { timeZone: "UTC" }) });
  const told = (at) => shape.format(new Date(at * 1000));
  return {
    point: (at) => (daily ? told(at).slice(0, 10) : told(at)),
    word: (at) => (isShort ? told(at).slice(11) : told(at).slice(5, 10)),
  };
}

function read(figure) {
  const { kind, start, length, values, texts, ticks } = figure.dataset;
  const lines = values.split(";").map((line) => line.split(",").map((each) => (each === "" ? null : Number(each))));
  const step = Number(length);
  const first = Number(start);
  return {
    isBars: kind === "bars",
    lines,
    step,
    first,
    end: first + step * lines[0].length,
    texts: texts.split(";").map((line) => line.split("|")),
    ticks: ticks.split("|").map((tick) => tick.split("=")),
    looks: [...figure.querySelectorAll(".legend svg")].map((mark) => getComputedStyle(mark).getPropertyValue("--look")),
  };
}

// Bars stand on each other: each is drawn from the ground to its top, the highest first.
function piled(lines) {
  const sums = lines[0].map(() => 0);
  return lines.map((line) => line.map((value, at) => (sums[at] += value ?? 0)));
}

function marked(figure, data, shape) {
  const when = figure.querySelector("[data-when]");
  const shown = [...figure.querySelectorAll("[data-value]")];
  const rest = shown.map((each) => each.textContent);
  return (at) => {
    const is = at !== null && at !== undefined;
    when.textContent = is ? shape.point(data.first + at * data.step) : "";
    shown.forEach((each, line) => {
      each.textContent = is ? data.texts[line][at] : rest[line];
    });
  };
}

// A variable may hold light-dark(), which only a property of a colour resolves.
function colour(figure, look) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = look;
  figure.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Marks that are closer than their words can tell have the word once.
function once(words) {
  return words.map((word, at) => (word === words[at - 1] ? "" : word));
}

function options(figure, data, shape, mark) {
  const ink = colour(figure, "var(--dim)");
  const grid = { stroke: colour(figure, "var(--line)"), width: 1 };
  const axis = { stroke: ink, font: `10px ${getComputedStyle(figure).fontFamily}`, ticks: { show: false }, gap: 4 };
  const top = Number(data.ticks.at(-1)[0]);
  const series = data.looks.map((look) => {
    const stroke = colour(figure, look);
    return data.isBars
      ? { fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.8, 100] }), points: { show: false } }
      : { stroke, width: 1.75, spanGaps: false, points: { show: true, size: 4, fill: stroke } };
  });
  return {
    width: figure.querySelector(".plot").clientWidth,
    height: HEIGHT,
    padding: [6, EDGE, 0, 0],
    legend: { show: false },
    tzDate: (at) => (data.step >= 86400 ? uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000)),
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !data.isBars } },
    scales: { x: { time: true, range: [data.first, data.end] }, y: { range: [0, top] } },
    axes: [
      { ...axis, size: 18, grid: { show: false }, space: 60, values: (u, splits) => once(splits.map(shape.word)) },
      { ...axis, size: WORDS, grid, splits: data.ticks.map(([value]) => Number(value)), values: data.ticks.map(([, word]) => word) },
    ],
    series: [{}, ...(data.isBars ? series.reverse() : series)],
    hooks: { setCursor: [(u) => mark(u.cursor.left < 0 ? null : u.cursor.idx)] },
  };
}

// The list of what a point counts. A point may reach beyond the period, its list does not.
function listOf(figure, data, at) {
  const { leadsTo, since, until } = figure.dataset;
  const [from, to] = [data.first + at * data.step, data.first + (at + 1) * data.step].map((each) => new Date(each * 1000));
  const list = new URL(leadsTo, location.href);
  list.searchParams.set("start_date", from < new Date(since) ? since : from.toISOString());
  const last = `${new Date(to - 1).toISOString().slice(0, 19)}.999999Z`;
  list.searchParams.set("end_date", to > new Date(until) ? until : last);
  return list;
}

function columns(data) {
  const times = data.lines[0].map((_, at) => data.first + (at + 0.5) * data.step);
  return [times, ...(data.isBars ? piled(data.lines).reverse() : data.lines)];
}

function draw(figure) {
  const data = read(figure);
  const shape = clock(data.step >= 86400, data.end - data.first <= 2 * 86400);
  for (const text of figure.querySelectorAll("text[data-time]")) {
    text.textContent = shape.word(Number(text.dataset.time));
  }
  if (typeof uPlot === "undefined") return;
  const plot = figure.querySelector(".plot");
  const mark = marked(figure, data, shape);
  let drawn = null;
  const again = () => {
    drawn?.destroy();
    plot.classList.add("live");
    drawn = new uPlot(options(figure, data, shape, mark), columns(data), plot);
  };
  again();
  dark.addEventListener("change", again);
  plot.addEventListener("click", () => {
    const at = drawn.cursor.idx;
    if (at !== null && at !== undefined && drawn.cursor.left >= 0) location.assign(listOf(figure, data, at));
  });
  new ResizeObserver(() => drawn.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(plot);
}

for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
