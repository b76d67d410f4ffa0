from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.house.source import environment, modules

WATCH = """
import json, os, sys, threading
before = set(sys.modules)
noticed = []

def notice(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        reads_code = str(path).endswith((".py", ".pyc", ".so", ".dylib", ".pyd", ".zip")) or os.path.isdir(path)
        # Packages of others ask for their own version, and what machine they are on.
        reads_code = reads_code or ".dist-info" in str(path) or str(path).startswith("/proc/")
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or not reads_code:
            noticed.append(f"open {path}")
    elif event.startswith((
        "socket.", "sqlite3.", "subprocess.", "os.fork", "os.exec", "os.mkdir", "os.remove", "os.rename",
        "os.posix_spawn", "os.system", "shutil.", "tempfile.", "urllib.", "_thread.", "signal.",
    )):
        noticed.append(f"{event} {arguments}")

sys.addaudithook(notice)
"""
"""From here on a program notices what it opens, starts or removes; reading code is what an import is."""

TELL = """
threads = [thread.name for thread in threading.enumerate()][1:]
loaded = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print(json.dumps({"noticed": noticed, "threads": threads, "loaded": loaded}))
"""

HEAVY = {
    "alembic", "asyncio", "genai_prices", "httpx", "httpx2", "jinja2", "opentelemetry", "psycopg", "pyarrow",
    "pydantic", "pydantic_ai", "requests", "rich", "sqlalchemy", "sqlite3", "typer", "unittest",
}  # fmt: skip
"""What other people's programs must not have to load because they record."""


def test_importing_the_package_loads_only_itself() -> None:
    """`import tachograph` opens, starts and prints nothing, and loads no other package at all."""
    told = _told("import tachograph")
    assert (told["noticed"], told["threads"]) == ([], [])
    assert set(told["loaded"]) - sys.stdlib_module_names == {"tachograph"}
    assert HEAVY & set(told["loaded"]) == set()


def test_the_public_names_load_nothing_heavy() -> None:
    """Touching every public name opens, starts and prints nothing, and loads no extra, database or price list.

    But `metadata` does, which is SQLAlchemy's, and who runs agents loads asyncio.
    """
    agents = "'Agent', 'Chat', 'Handoff', 'Hooks', 'Memory', 'Reminder', 'Runner', 'Session', 'Tool', 'starting_agent'"
    people = "'Allow', 'Deny', 'Pause', 'Person'"
    light = f"{{*tachograph.__all__}} - {{{agents}, {people}, 'Snapshot', 'fork', 'resume', 'snapshot', 'metadata'}}"
    told = _told("import tachograph", f"for name in {light}: getattr(tachograph, name)")
    assert (told["noticed"], told["threads"]) == ([], [])
    assert HEAVY & set(told["loaded"]) == set()


def test_agents_load_asyncio_and_nothing_else_that_is_heavy() -> None:
    """Touching the names of the agent runtime loads no provider's library, no price list and no database."""
    told = _told(
        "import tachograph",
        "for name in ('Agent', 'Chat', 'Hooks', 'Reminder', 'Runner', 'Tool'): getattr(tachograph, name)",
    )
    assert (told["noticed"], told["threads"]) == ([], [])
    assert HEAVY & set(told["loaded"]) == {"asyncio"}


def test_importing_any_module_does_nothing() -> None:
    """Importing each module of the package writes no file, opens no connection, starts no thread and prints nothing."""
    names = [module.dotted for module in modules() if "/migrations/" not in module.path]
    told = _told("import importlib", f"for name in {names!r}: importlib.import_module(name)")
    assert (told["noticed"], told["threads"]) == ([], [])


def _told(*lines: str) -> dict[str, Any]:
    """What a fresh interpreter notices while it runs these lines; it must print nothing else."""
    program = "\n".join((WATCH, *lines, TELL))
    here = environment(PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=here, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
