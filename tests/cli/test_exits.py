from __future__ import annotations

import pytest

from tachograph import errors
from tachograph.cli import exits


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (errors.SettingsError("a", 1, "b"), 2),
        (errors.MissingExtra("a", "b", "c"), 2),
        (errors.Ambiguous("run", "a", ("ab", "ac")), 2),
        (errors.NotFound("run", "a"), 3),
        (FileNotFoundError("a"), 3),
        (errors.StoreUnavailable("sqlite:a", "locked"), 4),
        (errors.SchemaMismatch("sqlite:a", "9", "1"), 4),
        (PermissionError("a"), 4),
        (errors.ImportFailed("a", 1, "b"), 1),
        (errors.CodecError("a"), 1),
    ],
)
def test_an_error_has_its_exit_code(problem: errors.TachographError | OSError, code: int) -> None:
    """What is wrong with the request, with what it asks for, and with the data can be told apart by a script."""
    assert exits.code_for(problem) == code


def test_every_code_is_explained() -> None:
    """The help explains each exit code there is."""
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert codes == exits.MEANINGS.keys()
