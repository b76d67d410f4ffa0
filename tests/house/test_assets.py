from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.house.source import ROOT

BODY = b"what the pages have from it\n"


def a_list(folder: Path, *, sha256: str = hashlib.sha256(BODY).hexdigest(), name: str = "left-pad") -> Path:
    """A list that names one file of a package."""
    path = folder / "assets.toml"
    path.write_text(
        f'[[library]]\nname = "{name}"\nversion = "1.2.3"\nlicense = "MIT"\nuse = "tests"\n'
        f'files = [{{ from = "dist/pad.js", to = "pad.js", sha256 = "{sha256}" }}]\n'
    )
    return path


def an_npm(folder: Path) -> Path:
    """A folder with an `npm` that packs what is in the variable TARBALL, and says how it was called."""
    program = folder / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho \"$@\" >> \"$CALLS\"\n"
        'for each in "$@"; do last="$each"; done\ncp "$TARBALL" "$last/left-pad-1.2.3.tgz"\n'
    )  # fmt: skip
    program.chmod(0o755)
    return program.parent


def a_package(folder: Path, body: bytes = BODY) -> Path:
    """A package as npm makes them."""
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/dist/pad.js")
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return path


def fetched(folder: Path, *arguments: str, package: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What the tool says; without a package there is no npm."""
    found = str(an_npm(folder)) if package else str(folder / "nothing-here")
    command = [sys.executable, str(ROOT / "tools" / "assets.py"), "--into", str(folder / "vendor"), *arguments]
    here = {**os.environ, "PATH": f"{found}:/usr/bin:/bin" if package else found, "TARBALL": str(package)}
    here["CALLS"] = str(folder / "calls")
    return subprocess.run(command, env=here, capture_output=True, text=True, check=False, timeout=60)


def test_a_library_is_fetched_checked_and_stamped(tmp_path: Path) -> None:
    """The named file is written, scripts of the package do not run, and what is in no list goes."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "stray.js").write_text("of an older list")
    stamp = tmp_path / "stamp"
    said = fetched(tmp_path, "--list", str(a_list(tmp_path)), "--stamp", str(stamp), package=a_package(tmp_path))
    assert (said.returncode, said.stdout, said.stderr) == (0, "assets: left-pad 1.2.3\n", "")
    assert {path.name: path.read_bytes() for path in (tmp_path / "vendor").iterdir()} == {"pad.js": BODY}
    assert stamp.exists()
    assert (tmp_path / "calls").read_text().startswith("pack left-pad@1.2.3 --ignore-scripts ")


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """Where each file has its hash nothing is asked of npm, and the stamp is set."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "pad.js").write_bytes(BODY)
    stamp = tmp_path / "stamp"
    said = fetched(tmp_path, "--list", str(a_list(tmp_path)), "--stamp", str(stamp))
    assert (said.returncode, said.stdout, stamp.exists()) == (0, "", True)


@pytest.mark.parametrize("package", [b"something else\n", None])
def test_a_wrong_file_is_an_error_and_nothing_is_written(tmp_path: Path, package: bytes | None) -> None:
    """A file with another hash, or none at all in the package, ends with 1; the folder stays as it was."""
    packed = a_package(tmp_path, package or BODY)
    named = a_list(tmp_path)
    if package is None:
        named.write_text(named.read_text().replace("dist/pad.js", "dist/gone.js"))
    said = fetched(tmp_path, "--list", str(named), "--stamp", str(tmp_path / "stamp"), package=packed)
    assert said.returncode == 1
    assert said.stderr.endswith("; nothing was written\n")
    assert not (tmp_path / "vendor").exists()
    assert not (tmp_path / "stamp").exists()


@pytest.mark.parametrize(("required", "code"), [((), 0), (("--require",), 1)])
def test_without_npm_one_line_says_so(tmp_path: Path, required: tuple[str, ...], code: int) -> None:
    """It is no error unless the libraries are required, and there is no stamp: the next command tries again."""
    said = fetched(tmp_path, "--list", str(a_list(tmp_path)), "--stamp", str(tmp_path / "stamp"), *required)
    assert (said.returncode, said.stdout.count("\n")) == (code, 1)
    assert "npm is not installed" in said.stdout
    assert not (tmp_path / "stamp").exists()


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    """An npm that cannot reach anything is as good as none."""
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    command = [sys.executable, str(ROOT / "tools" / "assets.py"), "--list", str(a_list(tmp_path))]
    here = {**os.environ, "PATH": f"{npm.parent}:/usr/bin:/bin"}
    said = subprocess.run(
        [*command, "--into", str(tmp_path / "vendor")],
        env=here, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert said.returncode == 0
    assert said.stdout.startswith("assets: npm cannot get left-pad@1.2.3 (npm error code ENOTFOUND); ")


def test_the_real_list_can_be_fetched(tmp_path: Path) -> None:
    """Where the registry of this machine answers, every library is there at its version, with its hash."""
    command = [sys.executable, str(ROOT / "tools" / "assets.py"), "--into", str(tmp_path / "vendor"), "--require"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    if "npm cannot get" in said.stdout or "npm is not" in said.stdout or "npm did not" in said.stdout:
        pytest.skip(said.stdout.strip())
    assert (said.returncode, said.stderr) == (0, "")
    assert {"htmx.js", "uplot.js", "uplot.css", "axe.js"} <= {path.name for path in (tmp_path / "vendor").iterdir()}
