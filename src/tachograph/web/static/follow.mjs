// A run that goes on: its events from a seq on, and the page again when something has happened.

const GAP = 500;
const NEWS = 500;
const BELOW = 5000;

export function follow(section, changed) {
  const says = section.querySelector("[data-live-state]");
  const news = section.querySelector("[data-news]");
  const state = (text, over = false) => {
    if (says.textContent !== text) says.textContent = text; // each change is read aloud
    says.classList.toggle("over", over);
  };
  news.hidden = false;
  const again = often(changed);
  const source = new EventSource(section.dataset.live);
  let is_over = false;
  let beat = 0;
  if ("below" in section.dataset) beat = setInterval(again, BELOW);

  source.addEventListener("open", () => state("live"));
  // The server ends a stream that has come to the end of its run, and cuts others now and then.
  source.addEventListener("error", () => {
    if (!is_over && source.readyState !== EventSource.CLOSED) return state("comes back …");
    clearInterval(beat);
    source.close();
    if (!is_over) state("nothing more is told", true);
  });
  for (const type of section.dataset.types.split(" ")) {
    source.addEventListener(type, (message) => {
      tell(news, message);
      if (type === "run_ended") is_over = body(message).status !== "paused";
      if (type === "run_resumed") is_over = false;
      state(is_over ? `ended with event ${message.lastEventId}` : "live", is_over);
      again();
    });
  }
}

// At once, and then with pauses: GAP milliseconds, and thrice as long as it took. Not while nobody looks.
function often(run) {
  let is_waiting = false;
  let is_running = false;
  async function again() {
    is_waiting = true;
    if (is_running) return;
    is_running = true;
    while (is_waiting && !document.hidden) {
      is_waiting = false;
      const began = performance.now();
      await run().catch(() => null);
      await new Promise((done) => setTimeout(done, Math.max(GAP, 3 * (performance.now() - began))));
    }
    is_running = false;
  }
  document.addEventListener("visibilitychange", () => is_waiting && again());
  return again;
}

function body(message) {
  try {
    return JSON.parse(message.data).body ?? {};
  } catch {
    return {};
  }
}

function tell(news, message) {
  const said = body(message);
  const line = document.createElement("li");
  const what = [said.name ?? said.model, said.status ?? said.state, said.role, said.metric, said.mode];
  line.textContent = [message.lastEventId, message.type, ...what.filter((each) => typeof each === "string")].join("  ");
  const is_at_end = news.scrollTop + news.clientHeight >= news.scrollHeight - 20;
  news.append(line);
  while (news.childElementCount > NEWS) news.firstElementChild.remove();
  if (is_at_end) news.scrollTop = news.scrollHeight;
}
