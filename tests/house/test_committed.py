from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT

ADDRESSES = re.compile(
    r"--(?:extra-)?index-url|--find-links|--trusted-host|index_url|/simple/|pypi\.org|pythonhosted\.org|registry\.npmjs|\.npmrc",
)
"""Where packages come from is the machine's business, never the project's."""


def test_no_file_says_where_packages_come_from() -> None:
    """No committed file holds a registry host, an index address or an option that names one."""
    assert {name: found for name, text in _texts().items() if (found := ADDRESSES.findall(text))} == {}


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No committed file holds the path of this checkout, of its parent or of this user's home folder."""
    places = {str(place) + "/" for place in (ROOT, ROOT.parent, Path.home()) if len(place.parts) > 1}
    assert {
        name: held for name, text in _texts().items() if (held := [place for place in places if place in text])
    } == {}


def test_requirement_files_hold_exact_versions() -> None:
    """Each line of requirements/*.txt is a comment, an inclusion, or `name==version`."""
    files = sorted((ROOT / "requirements").glob("*.txt"))
    lines = [line for path in files for line in path.read_text().splitlines()]
    assert len(files) == 3
    assert [line for line in lines if not re.fullmatch(r"#.*|-r \w+\.txt|[a-z0-9-]+==[\w.+!]+", line)] == []


def test_pinned_versions_are_those_the_project_asks_for() -> None:
    """Every requirement of the core, the command line and the check is pinned to a version it accepts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = dict(line.split("==") for name in ("run", "check") for line in _pins(name))
    asked = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["cli"]]
    asked += [item for group in ("build", "check") for item in project["dependency-groups"][group]]
    wanted = [Requirement(item) for item in asked]
    versions = {item: pinned.get(canonicalize_name(item.name), "not pinned") for item in wanted}
    assert {str(item): found for item, found in versions.items() if not _accepts(item, found)} == {}


def _accepts(item: Requirement, version: str) -> bool:
    return version != "not pinned" and item.specifier.contains(version, prereleases=True)


def _pins(name: str) -> list[str]:
    return [line for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines() if "==" in line]


@cache
def _texts() -> dict[str, str]:
    """Name → text of every file that is or would be committed, this one left out."""
    names = [name for name in _committed() if (ROOT / name).is_file() and ROOT / name != Path(__file__)]
    return {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in names}


def _committed() -> list[str]:
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    top = [ROOT / name for name in (".ci", "bench", "docs", "requirements", "src", "tests", "tools")]
    inside = [path for folder in top for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return [str(path.relative_to(ROOT)) for path in (*inside, *ROOT.glob("*"))]
