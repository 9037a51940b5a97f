"""The docs must name everything a user can set or call, with the defaults the code has."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import app
from app.selection import LAYERS, PAGES, Selection
from monitoring.configuration import Configuration

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def models_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside a type, each with what a key has between field and model: '', '.<name>' or '[]'."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
        return
    origin = getattr(annotation, "__origin__", None)
    between = {dict: ".<name>", tuple: "[]", list: "[]"}.get(origin, "")
    for part in get_args(annotation):
        for inner, model in models_in(part):
            yield between + inner, model


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key that a configuration may hold, as `models.<name>.window`, with its field."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        if field.exclude or key == "models.<name>.name":  # not read from the file; the key above it says it
            continue
        nested = list(models_in(field.annotation))
        if not nested:
            yield key, field
        for between, inner in nested:
            yield from keys(inner, f"{key}{between}.")


def default(field: FieldInfo) -> str:
    """A default as the documentation writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return str(value or "empty")


def documented() -> dict[str, str]:
    """Key and default of each row of the tables in docs/configuration.md: | `key` | type | default | … |"""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", text, flags=re.MULTILINE)
    return {key: value.strip().strip("`") for key, value in rows if not key.startswith("DRIFTMAP_")}


def test_every_configuration_key_is_documented_with_its_default() -> None:
    assert documented() == {key: default(field) for key, field in keys(Configuration)}


def test_the_yaml_examples_in_the_docs_are_valid() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert examples
    for example in examples:
        Configuration.model_validate(yaml.safe_load(example))


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not lost, f"{page.name} links to {lost}"


def commands(group: Any, name: str = "driftmap") -> Iterator[str]:
    """Every command of the command line, as it is typed."""
    for verb, command in group.commands.items():
        yield from commands(command, f"{name} {verb}") if hasattr(command, "commands") else [f"{name} {verb}"]


def test_every_command_is_in_the_docs() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCUMENTS)
    assert [name for name in commands(get_command(app)) if name not in text] == []


def test_the_five_minutes_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Five minutes")[1]

    def block(language: str) -> str:
        found = re.search(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
        assert found
        return found[1]

    (tmp_path / "driftmap.yaml").write_text(block("yaml"), encoding="utf-8")
    (tmp_path / "predictions.csv").write_text(block("csv"), encoding="utf-8")
    (tmp_path / "labels.csv").write_text("id,label\np1,built\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^driftmap (.*?)(?: +#.*)?$", text, flags=re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["ingest", "label", "monitor", "findings", "serve"]
    for line in lines[:-1]:
        answer = CliRunner().invoke(app, [*shlex.split(line), "--json"])
        assert answer.exit_code == 0, answer.output
    (accuracy,) = [finding for finding in json.loads(answer.stdout) if finding["metric"] == "accuracy"]
    assert (accuracy["value"], accuracy["n"], accuracy["verdict"]) == (0.0, 1, "insufficient data")


def test_every_key_of_an_address_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert documented == [name for name in Selection.param if name != "name"]
    assert all(f"`{choice}`" in text for choice in (*PAGES, *LAYERS))
