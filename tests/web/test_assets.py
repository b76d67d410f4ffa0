from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tachograph.web import assets as module
from tachograph.web.assets import File, Library, assets, libraries, missing, stamp

BODY = b"console.log('hover')\n"


@pytest.fixture
def vendored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of libraries beside a script of ours, and a list with one library for pages and one for tests."""
    file = File(from_="dist/x.js", to="x.js", sha256=hashlib.sha256(BODY).hexdigest())
    library = Library(name="x", version="1", license="MIT", use="tests", files=(file,))
    (tmp_path / "static" / "vendor").mkdir(parents=True)
    (tmp_path / "static" / "own.mjs").write_text("export {}")
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    monkeypatch.setattr(module, "libraries", lambda: (library, replace(library, name="axe", tests=True)))
    _forget()
    yield tmp_path / "static" / "vendor"
    _forget()


def _forget() -> None:
    for kept in (assets, stamp):
        kept.cache_clear()


def test_a_library_is_sent_when_it_is_the_one_of_the_list(vendored: Path) -> None:
    """With its hash it is there, under a type that browsers run."""
    (vendored / "x.js").write_bytes(BODY)
    assert (assets()["x.js"].body, assets()["x.js"].media) == (BODY, "text/javascript; charset=utf-8")
    assert missing() == ()


@pytest.mark.parametrize("body", [None, BODY + b"//"])
def test_without_it_or_with_another_the_pages_do_without(vendored: Path, body: bytes | None) -> None:
    """A file that is not there, or not the one of the list, is never sent; what is ours is."""
    if body is not None:
        (vendored / "x.js").write_bytes(body)
    assert missing() == ("x",)
    assert set(assets()) == {"own.mjs"}


def test_the_stamp_names_what_is_there(vendored: Path) -> None:
    """It changes with the files: a browser that keeps them for ever never has an old one."""
    before = stamp()
    (vendored / "x.js").write_bytes(BODY)
    _forget()
    with_it = stamp()
    (vendored.parent / "own.mjs").write_text("export { }")
    _forget()
    assert len({before, with_it, stamp()}) == 3


def test_the_list_names_versions_hashes_and_licences() -> None:
    """Each library that is shipped has an exact version, a licence and its text among its files, each with a hash."""
    shipped = [library for library in libraries() if not library.tests]
    assert {library.name for library in shipped} == {"uplot", "htmx.org"}
    assert [library.name for library in libraries() if library.tests] == ["axe-core"]
    for library in libraries():
        assert all(part.isdecimal() for part in library.version.split("."))
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in library.files)
    assert all(any(file.to.endswith(".license.txt") for file in library.files) for library in shipped)


def test_scripts_and_styles_stay_small() -> None:
    """All of them together, the charts library apart, are at most 150 KB as they are."""
    sent = {name: len(asset.body) for name, asset in assets().items() if not name.startswith("uplot")}
    assert sum(sent.values()) <= 150 * 1024, sent
    assert "axe.js" not in sent
