// The details of a step beside the timeline.

import { enliven } from "./step.mjs";

export class Panel {
  // `closed()` is called when it was closed.
  constructor(aside, closed) {
    this.aside = aside;
    this.closed = closed;
    this.href = "";
    aside.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    aside.addEventListener("click", (event) => {
      if (event.target.closest(".close")) this.close();
    });
  }

  get isOpen() {
    return !this.aside.hidden;
  }

  async open(href, { focus = true } = {}) {
    this.href = href;
    this.aside.hidden = false;
    this.aside.setAttribute("aria-busy", "true");
    const parts = await this.#read(href);
    if (this.href !== href) return;
    this.aside.removeAttribute("aria-busy");
    this.aside.replaceChildren(this.#button(), ...parts);
    this.aside.scrollTop = 0;
    enliven(this.aside);
    if (focus) (this.aside.querySelector("#details-title") ?? this.aside).focus({ preventScroll: true });
  }

  async #read(href) {
    try {
      const answer = await fetch(`${href}?alone=true`, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const details = page.querySelector(".details");
      if (details) return [document.adoptNode(details)];
    } catch {
      // said below
    }
    const said = document.createElement("p");
    const link = document.createElement("a");
    said.className = "problem";
    link.href = href;
    link.textContent = "The details could not be read. Open them as a page";
    said.append(link);
    return [said];
  }

  #button() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "close";
    button.textContent = "Close";
    return button;
  }

  close() {
    if (!this.isOpen) return;
    this.href = "";
    this.aside.hidden = true;
    this.aside.replaceChildren();
    this.closed();
  }
}
