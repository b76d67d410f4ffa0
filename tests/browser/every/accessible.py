"""What axe says about a page: findings that hinder somebody seriously."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page

_RUN = """
async only => {
  const options = { resultTypes: ['violations'], elementRef: false };
  if (only) options.runOnly = { type: 'rule', values: [only] };
  const { violations } = await axe.run(document, options);
  const bad = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  return bad.map(({ id, impact, help, nodes }) =>
    `${impact}: ${id} (${help}), ${nodes.length} times, first: ${nodes[0].html.slice(0, 200)}; `
    + (nodes[0].any[0]?.message ?? nodes[0].all[0]?.message ?? ''));
}
"""


@cache
def axe() -> str:
    """The library as `make assets` fetched it; tests that need it are skipped where it is not there."""
    path = files("tachograph.web").joinpath("static", "vendor", "axe.js")
    if not path.is_file():
        pytest.skip("axe is not there: run `make assets`")
    return path.read_text(encoding="utf-8")


def findings(page: Page, only: str | None = None) -> list[Any]:
    """Serious and critical findings, of one rule or of all."""
    return list(page.evaluate(_RUN, only))
