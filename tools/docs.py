"""Write the generated regions of the documents again; with --check, only say what is out of date.

A region stands between `<!-- generated: NAME -->` and `<!-- end -->` in README.md or docs/*.md. Its text is what the
function NAME below returns: read out of docstrings, structs, tables, settings and commands, so that it cannot lie.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import os
import re
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tachograph"
REGION = re.compile(r"(?<=<!-- generated: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
WIDTH = 80
"""Columns of the commands' help."""


def main(arguments: list[str]) -> int:
    """Rewrite what differs; with --check print the difference and return 1."""
    stale = {path: text for path, text in _documents() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if "--check" not in arguments:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
            continue
        before = path.read_text().splitlines() if path.exists() else []
        print(
            *difflib.unified_diff(before, text.splitlines(), str(path.relative_to(ROOT)), "make docs", "", "", 1, ""),
            sep="\n",
        )
    return int(bool(stale) and "--check" in arguments)


def _documents() -> Iterator[tuple[Path, str]]:
    """Every document with the text it should have."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield path, REGION.sub(lambda found: f"{found[1]}{found[2]}{REGIONS[found[1]]().strip()}\n", path.read_text())
    codec = import_module("tachograph.events.codec")
    yield ROOT / "docs" / "event.schema.json", json.dumps(codec.json_schema(), indent=1, ensure_ascii=False) + "\n"


# --- the house -------------------------------------------------------------------------------------------------------


def rooms() -> str:
    """Every room and module with the first line of its docstring."""
    lines = [_entry(path.name, path) for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__"]
    for room in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        lines += ["", _entry(f"{room.name}/", room / "__init__.py")]
        lines += _contents(room, "  ")
    return f"```\n{chr(10).join(lines)}\n```"


def _contents(folder: Path, indent: str) -> Iterator[str]:
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            yield _entry(indent + path.name, path)
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield _entry(f"{indent}{inner.name}/", inner / "__init__.py")
        if inner.name != "migrations":
            yield from _contents(inner, indent + "  ")


def _entry(name: str, path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return f"{name:<24}{_idea(docstring)}".rstrip()


def _idea(docstring: str) -> str:
    """The first sentence, or as many as it takes to say something."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.sub(r"^(.{24,}?\.) .*", r"\1", paragraph)


def layers() -> str:
    """The order of the rooms, as import-linter checks it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return "```\n" + "\n".join(next(item["layers"] for item in contracts if item["type"] == "layers")) + "\n```"


def contracts() -> str:
    """The names of all import contracts."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return "\n".join(f"- {item['name']}." for item in declared)


def errors() -> str:
    """The tree of errors, with the facts each one carries."""
    module = import_module("tachograph.errors")
    rows: list[tuple[str, ...]] = [("error", "when", "facts")]
    for depth, kind in _descendants(module.TachographError, 0):
        facts = list(inspect.signature(kind).parameters) if "__init__" in vars(kind) else []
        name = f"{'&nbsp;' * 4 * depth}`{kind.__name__}`"
        rows.append((name, _cell(inspect.cleandoc(kind.__doc__ or "")), ", ".join(f"`{fact}`" for fact in facts)))
    return _table(rows)


def _descendants(kind: type[Exception], depth: int) -> Iterator[tuple[int, type[Exception]]]:
    yield depth, kind
    for child in (child for child in kind.__subclasses__() if child.__module__ == kind.__module__):
        yield from _descendants(child, depth + 1)


# --- events ----------------------------------------------------------------------------------------------------------


def statuses() -> str:
    """Each status with the stop reasons it may carry."""
    module = import_module("tachograph.events.run")
    reasons = {status: sorted(module.STOP_REASONS.get(status, ())) for status in get_args(module.Status)}
    rows = [(f"`{status}`", ", ".join(f"`{reason}`" for reason in found)) for status, found in reasons.items()]
    return _table([("status", "stop reasons"), *rows])


def events() -> str:
    """Every event type with its fields."""
    types = import_module("tachograph.events.codec").BODY_TYPES
    return "\n\n".join(f"### `{tag}`\n\n{_fields(kind)}" for tag, kind in types.items())


def envelope() -> str:
    """The fields every event has."""
    return _fields(import_module("tachograph.events.envelope").Event)


def values() -> str:
    """The values that events are made of, and the words that stand for a choice."""
    bodies = set(import_module("tachograph.events.codec").BODY_TYPES.values())
    modules = _modules("events")
    structs = [
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Struct) and value.__module__ == module.__name__
        if value not in bodies and name not in {"Event", "Unknown"} and not name.startswith("_")
    ]
    return "\n\n".join((_words(*modules), *(f"### {kind.__name__}\n\n{_fields(kind)}" for kind in structs)))


def _words(*modules: ModuleType) -> str:
    """The names that stand for a choice of words, with the words."""
    rows = [
        (f"`{name}`", ", ".join(f"`{choice}`" for choice in get_args(value)))
        for module in modules
        for name, value in vars(module).items()
        if get_origin(value) is Literal and _defined(module, name)
    ]
    return _table([("name", "one of"), *rows])


def _modules(room: str) -> list[ModuleType]:
    files = sorted((PACKAGE / room).glob("*.py"))
    return [import_module(f"tachograph.{room}.{path.stem}") for path in files if path.stem != "__init__"]


def _defined(module: ModuleType, name: str) -> bool:
    tree = ast.parse(inspect.getsource(module))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


class Field(NamedTuple):
    """One annotated field of a class: what stands in its source."""

    name: str
    type: str
    default: str
    meaning: str


def _read_fields(kind: type) -> list[Field]:
    source = dedent(inspect.getsource(kind))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    found = []
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = ast.get_source_segment(source, node.value) if node.value else ""
            found.append(Field(node.target.id, ast.unparse(node.annotation), default or "", _string(after)))
    return found


def _string(node: ast.stmt | None) -> str:
    """The text of a bare string: what stands under a field, a constant or a table and describes it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def _fields(kind: type) -> str:
    rows = [
        (f"`{item.name}`", _code(item.type), _code(item.default) if item.default else "required", _cell(item.meaning))
        for item in _read_fields(kind)
    ]
    return f"{inspect.cleandoc(kind.__doc__ or '')}\n\n{_table([('field', 'type', 'default', ''), *rows])}"


# --- settings, tables, commands --------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting with its environment variable."""
    module = import_module("tachograph.settings")
    variables = {name: f"`{variable}`" for variable, name in module.ENVIRONMENT.items()}
    rows = [
        (f"`{item.name}`", variables.get(item.name, ""), _code(item.type), _default(item.default), _cell(item.meaning))
        for item in _read_fields(module.Settings)
    ]
    return f"{_table([('setting', 'environment', 'type', 'default', ''), *rows])}\n\n{_words(module)}"


def _default(source: str) -> str:
    """The default as a reader would say it: what a factory makes is told by the meaning."""
    if source.startswith("field(default_factory=dict"):
        return "`{}`"
    return "" if source.startswith("field(") else _code(source.replace(" * MIB", " MiB").replace(" * KIB", " KiB"))


def tables() -> str:
    """The SQL of every table and its indexes, as SQLite gets it, with what each table is for."""
    if find_spec("tachograph.store.schema") is None:
        return "The store has no tables yet."
    module = import_module("tachograph.store.schema")
    meanings = _meanings(module)
    parts = []
    for table in module.metadata.tables.values():
        sql = "\n".join([_create(table), *sorted(_create(index) for index in table.indexes)])
        parts.append(f"### `{table.name}`\n\n{meanings.get(table.name, '')}\n\n```sql\n{sql}\n```")
    return "\n\n".join(parts)


def views() -> str:
    """The views with their columns, asked of a database that has them."""
    if find_spec("tachograph.store.sqlite.views") is None:
        return "There are no views yet."
    tables = import_module("tachograph.store.schema").metadata.tables.values()
    statements = [*map(_create, tables), *import_module("tachograph.store.sqlite.views").statements()]
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(";\n".join(statement.rstrip(";") for statement in statements))
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
        columns = {name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")] for name in names}
    rows = [(f"`{name}`", ", ".join(f"`{column}`" for column in found)) for name, found in columns.items()]
    return _table([("view", "columns"), *rows])


def _create(item: Any) -> str:
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - only this region needs it
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415

    statement = CreateIndex(item) if hasattr(item, "unique") else CreateTable(item)
    text = str(statement.compile(dialect=sqlite.dialect())).strip().replace("\t", "    ")
    return "\n".join(line.rstrip() for line in text.splitlines()) + ";"


def _meanings(module: ModuleType) -> dict[str, str]:
    """Name → the string under its assignment, for everything a module assigns."""
    body = ast.parse(inspect.getsource(module)).body
    return {
        target.id: _string(after)
        for node, after in pairwise(body)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def api() -> str:
    """Every operation of the API with its parameters, as its OpenAPI document has them."""
    paths = json.loads(import_module("tachograph.server.app").document())["paths"]
    operations = [(path, method, found) for path, methods in paths.items() for method, found in methods.items()]
    parts = []
    for path, method, operation in operations:
        parts += [f"### `{method.upper()} {path}`", _cell(operation["description"]), _answers(operation)]
        if rows := [_parameter(found) for found in operation["parameters"]]:
            parts.append(_table([("parameter", "in", "type", "default", ""), *rows]))
    return "\n\n".join(parts)


def _parameter(found: dict[str, Any]) -> tuple[str, ...]:
    schema = found["schema"]
    kind = " \\| ".join(f"`{word}`" for word in schema["enum"]) if "enum" in schema else str(schema.get("type", ""))
    words = {"minimum": "at least", "maximum": "at most"}
    bounds = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    default = "required" if found["required"] else f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
    return f"`{found['name']}`", found["in"], ", ".join((kind, *bounds)), default, _cell(found.get("description", ""))


def _answers(operation: dict[str, Any]) -> str:
    status = next(iter(operation["responses"]))
    content = operation["responses"][status].get("content", {})
    media: str = next(iter(content), "")
    shape = content[media]["schema"].get("$ref", "").rpartition("/")[2] if media else ""
    return f"Answers {status}" + (f" `{shape}`" if shape else "") + (f" ({media})." if media else ".")


def commands() -> str:
    """The help of every command, as a terminal of fixed width shows it."""
    if find_spec("tachograph.cli.app") is None:
        return "There are no commands yet."
    os.environ |= {"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    typer = import_module("typer.main")
    tree = _commands(typer.get_command(import_module("tachograph.cli.app").app), ["tachograph"])
    return "\n\n".join(f"## `{' '.join(words)}`\n\n```\n{_help(words)}\n```" for words in tree)


def _commands(command: Any, words: list[str]) -> Iterator[list[str]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, [*words, name])


def _help(words: list[str]) -> str:
    entry = import_module("tachograph.cli.main").main
    shown, given = StringIO(), sys.argv
    sys.argv = [*words, "--help"]
    try:
        with redirect_stdout(shown):
            entry()
    except SystemExit as left:
        if left.code:
            raise
    finally:
        sys.argv = given
    return "\n".join(line.rstrip() for line in shown.getvalue().strip("\n").splitlines())


def guardrail_fields() -> str:
    """The fields of a guardrail, of a rule, and of what a guardrail's functions are shown."""
    module = import_module("tachograph.agent.guardrails.guardrail")
    rule = import_module("tachograph.agent.guardrails.rule").Rule
    found = ((f"### `{kind.__name__}`", _fields(kind)) for kind in (module.Guardrail, rule, module.Look))
    return "\n\n".join(text for pair in found for text in pair)


def memory_fields() -> str:
    """The fields of a memory."""
    return _fields(import_module("tachograph.agent.memory").Memory)


def faq_corpus() -> str:
    """How well the rules of the FAQ guardrail fit the labelled corpus, beside those that they come from."""
    sys.path.append(str(ROOT))
    score = import_module("tests.agent.guardrails.faq_score")
    sentences = score.corpus()
    rows: list[tuple[str, ...]] = [("sentences", "reason", "precision", "recall", "its precision", "its recall")]
    for part in dict.fromkeys(one.part for one in sentences):
        chosen = [one for one in sentences if one.part == part]
        for reason in (*score.REASONS, None):
            judged = [score.score(judge, chosen, reason) for judge in (score.OURS, score.document)]
            figures = (f"{figure:.2f}" for found in judged for figure in (found.precision, found.recall))
            rows.append((f"{part} ({len(chosen)})", f"`{reason}`" if reason else "either", *figures))
    return _table(rows)


# --- Markdown --------------------------------------------------------------------------------------------------------


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join((head, "|" + "---|" * len(rows[0]), *body))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


REGIONS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        rooms,
        layers,
        contracts,
        errors,
        statuses,
        events,
        envelope,
        values,
        settings,
        tables,
        views,
        api,
        commands,
        faq_corpus,
        guardrail_fields,
        memory_fields,
    )
}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
