from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph import errors
from tests.house.source import ROOT, environment, rooms

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
TREE_LINE = re.compile(r"^([│├└─ ]*)([A-Z]\w+)(?=\s{2,}|$)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
PICTURE = re.compile(r"[\w./-]+\.png")


def test_generated_parts_are_up_to_date() -> None:
    """`make docs` would change nothing: tables, commands, settings and the room map in docs/ are those of the code."""
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_examples_run(document: Path, tmp_path: Path) -> None:
    """The Python examples of a document, one after the other, run as they stand in a folder of their own."""
    program = _examples(document.read_text(encoding="utf-8"))
    here = environment(TACHOGRAPH_HOME=str(tmp_path / "home"))
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link of a document names a file of the checkout."""
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_document_can_be_found() -> None:
    """Each document in docs/ is linked from README.md."""
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{path.name}" for path in DOCUMENTS[1:]} - linked == set()


def test_every_picture_is_shown_and_small() -> None:
    """Each picture that a document shows is there, none is shown nowhere, and none is larger than 150 KB."""
    shown = {(path.parent / name).resolve() for path in DOCUMENTS for name in PICTURE.findall(path.read_text())}
    pictures = {path.resolve(): path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert shown == pictures.keys()
    assert [path.name for path, size in pictures.items() if size > 150_000] == []


def test_the_map_has_every_room() -> None:
    """docs/architecture.md has a line for each room, and each room stands in the order of imports."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [room for room in rooms() if not re.search(rf"^{room}/ +\S", text, re.MULTILINE)] == []
    assert [room for room in rooms() if not re.search(rf"^(.*\| )?\(?{room}\b", text, re.MULTILINE)] == []


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    """The tree at the top of errors.py shows every error class below its base, in order, and no other."""
    drawn = [(len(indent) // 4, name) for indent, name in TREE_LINE.findall(errors.__doc__ or "")]
    assert drawn == [(depth, kind.__name__) for depth, kind in _tree(errors.TachographError, 0)]


def _tree(kind: type[Exception], depth: int) -> list[tuple[int, type[Exception]]]:
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, kind), *(pair for child in children for pair in _tree(child, depth + 1))]


def _examples(text: str) -> str:
    """The examples as one program whose line numbers are those of the document."""
    program = [""] * (text.count("\n") + 1)
    for example in EXAMPLE.finditer(text):
        first = text.count("\n", 0, example.start(1))
        lines = example[1].splitlines()
        program[first : first + len(lines)] = lines
    return "\n".join(program)
