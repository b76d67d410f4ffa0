"""Take the pictures of the pages that README.md shows: docs/images/*.png, of the demo's records alone.

Each is 1,280 wide and small enough to be committed: at most 256 colours, the most frequent ones, and at most 150 KB.
The demo's records are made anew, so nothing of anybody else's can be on a picture.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
COMMAND = (sys.executable, "-c", "from tachograph.cli.main import main; main()")
WIDTH = 1_280
MOST_BYTES = 150_000
CALM_MS = 1_000
"""What a page loads later is there by then."""


class Shot(NamedTuple):
    """A picture: of what, in which colours, how high."""

    name: str
    address: str
    scheme: Literal["light", "dark"] = "light"
    height: int = 800


def main() -> int:
    """Write all pictures; return 1 if one of them is too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("install Debian's chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with demo() as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        sizes = [take(browser, base, shot) for shot in shots(base)]
        browser.close()
    return int(max(sizes) > MOST_BYTES)


@contextmanager
def demo() -> Iterator[str]:
    """A server over the demo's records, and its address."""
    with tempfile.TemporaryDirectory() as home:
        store = f"sqlite:{home}/demo.db"
        environment = {**os.environ, "TACHOGRAPH_HOME": home}
        subprocess.run([*COMMAND, "demo", "--store", store], check=True, env=environment, stdout=subprocess.DEVNULL)
        serve = [*COMMAND, "serve", "--port", "0", "--json", "--store", store]
        with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield next(iter(json.loads(process.stdout.readline()).values())).rstrip("/")
            finally:
                process.terminate()


def shots(base: str) -> list[Shot]:
    """What is shown: the time of the desk, a run that a limit stopped, and what its model saw and said."""
    with urlopen(f"{base}/api/runs?limit=200") as answer:  # noqa: S310  # our own server
        runs: list[dict[str, Any]] = json.load(answer)["runs"]
    stopped = max(runs, key=lambda run: (run["stop_reason"] != "final_answer", run["interventions"], run["steps"]))
    run = f"/runs/{stopped['id']}"
    return [
        Shot("overview", f"/?{urlencode(_opening_hours(runs))}", height=1_000),
        Shot("run", run, height=1_056),
        Shot("run-dark", run, "dark", height=1_056),
        Shot("transcript", f"{run}/transcript"),
    ]


def _opening_hours(runs: list[dict[str, Any]]) -> dict[str, str]:
    """The period that the desk was open, in whole minutes, so that charts are full."""
    began = datetime.fromisoformat(min(run["start_time"] for run in runs)).replace(second=0, microsecond=0)
    ended = datetime.fromisoformat(max(run["end_time"] for run in runs)).replace(second=59, microsecond=0)
    return {"start_date": began.isoformat(), "end_date": ended.isoformat()}


def take(browser: Browser, base: str, shot: Shot) -> int:
    """Write one picture; its size."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": shot.height},
        color_scheme=shot.scheme,
        timezone_id="UTC",
    )
    answer = page.goto(base + shot.address)
    assert answer is not None
    assert answer.ok, f"{shot.address} answers {answer.status}"
    page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")  # no picture scrolls
    page.wait_for_timeout(CALM_MS)
    full = page.screenshot(type="png", clip={"x": 0, "y": 0, "width": WIDTH, "height": shot.height})
    page.close()
    plain = browser.new_page()
    small = packed(*plain.evaluate(_INDEXED, base64.b64encode(full).decode()))
    plain.close()
    path = FOLDER / f"{shot.name}.png"
    path.write_bytes(min(full, small, key=len))
    length = path.stat().st_size
    print(f"{path.relative_to(FOLDER.parents[1])}: {length / 1e3:.0f} KB{', TOO LARGE' if length > MOST_BYTES else ''}")
    return length


_INDEXED = """
async (png) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
  canvas.drawImage(image, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const parts = (pixel) => [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
  const colours = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([pixel]) => parts(pixel));
  const places = new Map();
  for (const pixel of counts.keys()) {
    const [r, g, b] = parts(pixel);
    let best = 0, least = Infinity;
    for (const [at, [x, y, z]] of colours.entries()) {
      const far = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (far < least) [best, least] = [at, far];
    }
    places.set(pixel, best);
  }
  let indexes = '';
  for (const pixel of pixels) indexes += String.fromCharCode(places.get(pixel));
  return [image.width, colours, btoa(indexes)];
}
"""
"""A picture as its width, at most 256 colours, and the colour of each pixel."""


def packed(width: int, colours: list[list[int]], indexes: str) -> bytes:
    """A PNG of these colours."""
    rows = base64.b64decode(indexes)
    lines = b"".join(b"\0" + rows[at : at + width] for at in range(0, len(rows), width))
    head = struct.pack(">2I5B", width, len(rows) // width, 8, 3, 0, 0, 0)
    palette = b"".join(map(bytes, colours))
    chunks = [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


if __name__ == "__main__":
    sys.exit(main())
