"""Pin what pyproject.toml asks for: writes requirements/*.txt with the newest versions that go together.

Each file pins what it adds to the ones it includes, as `name==version` and nothing else. Where packages come from is
the business of the machine's pip.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Lock(NamedTuple):
    """One requirements file: what it includes, and the extras and groups of pyproject.toml that it pins."""

    includes: tuple[str, ...]
    extras: tuple[str, ...]
    groups: tuple[str, ...]
    use: str


LOCKS = {
    "run": Lock((), ("cli", "server"), ("build",), "what `make demo` needs"),
    "check": Lock(("run",), ("agents", "archive", "otel"), ("check",), "what `make test` and `make check` need"),
    "bench": Lock(("run",), ("agents",), ("bench",), "what `make bench` needs: the peers we are measured against"),
}


def main() -> None:
    """Resolve and write every file; each is held to the versions of the files it includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name, lock in LOCKS.items():
        included = {key: version for other in lock.includes for key, version in pins(other).items()}
        found = resolve(wanted(project, lock), included)
        lines = [f"# {lock.use}; written by `make lock`", *(f"-r {other}.txt" for other in lock.includes)]
        lines += [f"{key}=={found[key]}" for key in sorted(found) if key not in included]
        path(name).write_text("\n".join(lines) + "\n")
        print(f"requirements/{name}.txt: {len(found)} packages")


def wanted(project: dict[str, Any], lock: Lock) -> list[str]:
    """The requirements a file stands for, as pyproject.toml states them."""
    declared = project["project"]
    asked = list(declared["dependencies"])
    asked += [item for extra in lock.extras for item in declared["optional-dependencies"][extra]]
    asked += [item for group in lock.groups for item in project["dependency-groups"][group]]
    return asked


def resolve(asked: list[str], included: dict[str, str]) -> dict[str, str]:
    """Name → version of everything that would be installed into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "held.txt")
        held.write_text("".join(f"{name}=={version}\n" for name, version in included.items()))
        report = subprocess.run([*command, "-c", str(held), *asked], check=True, stdout=subprocess.PIPE).stdout
    items = [item["metadata"] for item in json.loads(report)["install"]]
    return {re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"] for item in items}


def pins(name: str) -> dict[str, str]:
    """Name → version in a requirements file, with the files it includes."""
    found: dict[str, str] = {}
    for line in path(name).read_text().splitlines():
        if line.startswith("-r "):
            found |= pins(line[3:].removesuffix(".txt"))
        elif not line.startswith("#"):
            key, _, version = line.partition("==")
            found[key] = version
    return found


def path(name: str) -> Path:
    """Where a requirements file lies."""
    return ROOT / "requirements" / f"{name}.txt"


if __name__ == "__main__":
    main()
