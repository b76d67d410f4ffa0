// The rows of a long waterfall: stretches near the window are there, the others are room of the same height.

const ROW = 24;
const NEAR = "1500px 0px";
const FAR = "9000px 0px";

export class Rows {
  // `told(lines)` is called with each stretch that came.
  constructor(section, told) {
    this.section = section;
    this.grid = section.querySelector(".grid");
    this.limit = Number(section.dataset.limit);
    this.told = told;
    this.age = 0; // counts what the rows on the page are of
    this.coming = new Map();
    this.near = new Set();
    this.watch = new IntersectionObserver((seen) => this.#moved(seen), { rootMargin: NEAR });
    this.drop = new IntersectionObserver((seen) => this.#left(seen), { rootMargin: FAR });
    const first = this.grid.querySelector(".lines");
    const at = Number(first.dataset.offset);
    section.querySelector(".pager")?.remove();
    this.total = Number(first.dataset.total);
    this.stretches = [];
    if (at % this.limit) {
      first.remove();
      this.#fit();
    } else {
      this.#fit(first, at / this.limit);
    }
  }

  // As many stretches as there are rows.
  #fit(first, number) {
    const wanted = Math.max(1, Math.ceil(this.total / this.limit));
    while (this.stretches.length > wanted) {
      const gone = this.stretches.pop();
      this.#unwatch(gone);
      gone.remove();
    }
    while (this.stretches.length < wanted) {
      const place = this.stretches.length;
      const lines = place === number ? first : this.#room(place);
      if (place === number) lines.age = this.age;
      this.stretches.push(lines);
      this.#watch(lines);
    }
    if (first) this.grid.append(...this.stretches);
    else this.stretches.filter((lines) => !lines.isConnected).forEach((lines) => this.grid.append(lines));
    this.stretches.forEach((lines, place) => lines.childElementCount || this.#size(lines, place));
    this.grid.setAttribute("aria-rowcount", this.total + 1);
  }

  #room(place) {
    const lines = document.createElement("div");
    lines.className = "lines";
    lines.setAttribute("role", "rowgroup");
    this.#size(lines, place);
    return lines;
  }

  #size(lines, place) {
    lines.style.height = `${Math.max(0, Math.min(this.limit, this.total - place * this.limit)) * ROW}px`;
  }

  #watch(lines) {
    this.watch.observe(lines);
    this.drop.observe(lines);
  }

  #unwatch(lines) {
    this.watch.unobserve(lines);
    this.drop.unobserve(lines);
    this.near.delete(lines);
  }

  #moved(seen) {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) {
        this.near.delete(target);
        continue;
      }
      this.near.add(target);
      if (target.age !== this.age) this.load(target).catch(() => this.#failed(target));
    }
  }

  #left(seen) {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting || !target.childElementCount || target.contains(document.activeElement)) continue;
      this.#size(target, this.stretches.indexOf(target));
      target.replaceChildren();
      target.age = undefined;
    }
  }

  #failed(lines) {
    if (!lines.childElementCount) lines.textContent = "These rows could not be read. Scroll away and back to try again.";
  }

  address(place) {
    const asked = new URLSearchParams(location.search);
    for (const name of ["step", "after", "offset"]) asked.delete(name);
    if (place) asked.set("offset", place * this.limit);
    return `${this.section.dataset.rows}?${asked}`;
  }

  // The stretch with its rows, as they are for what is looked at now.
  async load(lines) {
    if (lines.age === this.age) return lines;
    const place = this.stretches.indexOf(lines);
    if (place < 0) return null;
    const age = this.age;
    const known = this.coming.get(place);
    if (known?.age === age) return known.done;
    const done = this.#fetch(place, age);
    this.coming.set(place, { age, done });
    try {
      return await done;
    } finally {
      if (this.coming.get(place)?.age === age) this.coming.delete(place);
    }
  }

  async #fetch(place, age) {
    const answer = await fetch(this.address(place), { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`rows: ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = document.adoptNode(page.querySelector(".lines"));
    const old = this.stretches[place];
    if (age !== this.age || !old) return old ?? null;
    fresh.age = age;
    const focused = old.contains(document.activeElement) ? document.activeElement.closest(".line")?.id : null;
    this.told(fresh);
    this.#unwatch(old);
    old.replaceWith(fresh);
    this.stretches[place] = fresh;
    this.#watch(fresh);
    this.total = Number(fresh.dataset.total);
    this.#fit();
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    return fresh;
  }

  // What is looked at has changed, or goes on: what is near comes again.
  async again() {
    this.age += 1;
    const near = this.near.size ? [...this.near] : this.stretches.slice(0, 1);
    await Promise.all(near.filter((lines) => lines.isConnected).map((lines) => this.load(lines)));
  }

  async at(place) {
    const lines = this.stretches.at(place);
    return lines ? this.load(lines) : null;
  }

  // The row before (-1) or behind (1) a row.
  async beside(row, way) {
    const next = way > 0 ? row.nextElementSibling : row.previousElementSibling;
    if (next) return next;
    const place = this.stretches.indexOf(row.parentElement) + way;
    if (place < 0 || place >= this.stretches.length) return null;
    const lines = await this.load(this.stretches[place]);
    return way > 0 ? lines?.firstElementChild : lines?.lastElementChild;
  }
}
