from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "make an access key first: tachograph keys add"),
        (("--require-key",), "make an access key first: tachograph keys add"),
        (("--host", "no such place", "--port", "0"), "make an access key first"),
        (("--port", "99999"), "a free port of an address of this machine"),
        (("--certificate", "missing.pem", "--port", "0"), "missing.pem"),
    ],
)
def test_does_not_start_where_it_should_not(cli: Run, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Beyond this machine without a key, at a port there is not, with a certificate there is not: said in one line."""
    done = cli("serve", *options, store=tmp_path / "a.db")
    assert done.exit_code in (2, 3)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
