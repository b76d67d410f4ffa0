from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT

BODY = b"a library\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout whose list names a library that is shipped and one that only tests need."""
    made = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "src", made / "src", ignore=shutil.ignore_patterns("vendor", "__pycache__", "agent", "store", "wire")
    )
    for name in ("LICENSE", "README.md", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, made / name)
    shutil.copytree(ROOT / "tools", made / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    digest = hashlib.sha256(BODY).hexdigest()
    (made / "src/tachograph/web/assets.toml").write_text(
        "".join(
            f'[[library]]\nname = "{name}"\nversion = "1.0.0"\nlicense = "MIT"\nuse = "tests"\n{more}'
            f'files = [{{ from = "x.js", to = "{name}.js", sha256 = "{digest}" }}, '
            f'{{ from = "LICENSE", to = "{name}.license.txt", sha256 = "{digest}" }}]\n'
            for name, more in (("shipped", ""), ("tested", "tests = true\n"))
        )
    )
    return made


def built(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A build of the checkout into `dist`."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", "dist", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=100)


def vendored(checkout: Path, body: bytes = BODY) -> None:
    """Put the libraries where `make assets` does."""
    folder = checkout / "src/tachograph/web/static/vendor"
    folder.mkdir()
    for name in ("shipped.js", "shipped.license.txt", "tested.js", "tested.license.txt"):
        (folder / name).write_bytes(body)


def test_a_wheel_has_what_the_pages_need(checkout: Path) -> None:
    """Templates, styles, scripts, the list and the libraries with their licences are in it, those of tests are not."""
    vendored(checkout)
    said = built(checkout, "--target", "wheel")
    assert said.returncode == 0, said.stderr
    [wheel] = (checkout / "dist").glob("*.whl")
    inside = {name.removeprefix("tachograph/web/") for name in zipfile.ZipFile(wheel).namelist()}
    assert {"assets.toml", "templates/page.html", "static/page.css", "static/page.mjs", "static/icon.svg"} <= inside
    assert {name for name in inside if "vendor/" in name} == {
        "static/vendor/shipped.js",
        "static/vendor/shipped.license.txt",
    }


@pytest.mark.parametrize("body", [b"another file\n", None])
def test_a_release_is_not_built_without_the_libraries(checkout: Path, body: bytes | None) -> None:
    """A library that is missing or another one ends the build, and the message says what to do."""
    if body is not None:
        vendored(checkout, body)
    said = built(checkout, "--target", "wheel")
    assert said.returncode != 0
    assert "shipped.js" in said.stderr
    assert "`make assets`" in said.stderr
    assert not list(checkout.glob("dist/*.whl"))


def test_an_editable_install_needs_none(checkout: Path) -> None:
    """Who works on a checkout without npm has working pages all the same."""
    said = built(checkout, "--target", "wheel:editable")
    assert said.returncode == 0, said.stderr


def test_a_source_release_has_them_too(checkout: Path) -> None:
    """What is built from an sdist is whole: the libraries are in it, and so is the hook."""
    vendored(checkout)
    assert built(checkout, "--target", "sdist").returncode == 0
    [sdist] = (checkout / "dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, checkout / "unpacked")
    [inside] = (checkout / "unpacked").iterdir()
    said = built(inside, "--target", "wheel")
    assert said.returncode == 0, said.stderr
