"""The rules that keep the house in order: who imports whom, and what must be declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("storage", "monitoring", "app")  # each may import itself and those before it
FILES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(source: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute module of every import in `source`, those inside functions included."""
    package = path.parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom) and node.level and node.level > len(package):
            for name in node.names:
                yield node.lineno, ".".join([*(node.module or "").split("."), name.name]).lstrip(".")
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])


def against_the_rule(source: str, path: Path) -> list[str]:
    """The imports of `source` that go from a room to one above it."""
    allowed = ROOMS[: ROOMS.index(path.parts[0]) + 1]
    return [
        f"{path}:{line} imports {module}"
        for line, module in imports(source, path)
        if module.split(".")[0] in ROOMS and module.split(".")[0] not in allowed
    ]


def test_imports_go_one_way_from_app_to_monitoring_to_storage() -> None:
    against = [wrong for path in FILES for wrong in against_the_rule((ROOT / path).read_text("utf-8"), path)]
    assert {path.parts[0] for path in FILES} == set(ROOMS)
    assert not against, "\n".join(against)


def test_the_import_rule_sees_relative_imports_and_those_inside_functions() -> None:
    source = "import json\ndef f():\n    import app.cli\n    from ..monitoring import drift\n"
    assert against_the_rule(source, Path("storage/queries.py")) == [
        "storage/queries.py:3 imports app.cli",
        "storage/queries.py:4 imports monitoring.drift",
    ]
    assert against_the_rule("from storage.records import Run", Path("app/pages/runs.py")) == []


def declared(*extras: str) -> set[str]:
    """The libraries that pyproject.toml asks for, with those of `extras`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return {normal(re.split(r"[^\w.-]", line)[0]) for group in groups for line in group}


def test_every_imported_library_is_declared() -> None:
    known = declared("torch")
    distributions = packages_distributions()
    missing = {}
    for path in FILES:
        for line, module in imports((ROOT / path).read_text("utf-8"), path):
            library = module.split(".")[0]
            if library in ROOMS or library in sys.stdlib_module_names:
                continue
            if not {normal(name) for name in distributions.get(library, [library])} & known:
                missing[library] = f"{path}:{line}"
    assert not missing, f"imported, but not in pyproject.toml: {missing}"


def test_the_pins_are_exact_and_hold_every_declared_library() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert declared("torch", "test", "check") - {normal(line.split("==")[0]) for line in pins} == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
