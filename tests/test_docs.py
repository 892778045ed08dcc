"""What the README and the documentation promise, compared with the code that keeps it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from airflow_provider_venice import exceptions
from airflow_provider_venice.api.model import VideoJob, VideoQuote
from airflow_provider_venice.simulator import __main__ as command_line
from airflow_provider_venice.simulator.faults import ENDPOINTS, TAGS
from airflow_provider_venice.storage import StoredVideo
from airflow_provider_venice.transport.settings import EXTRA_FIELDS, Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.rst"), *DOCS.glob("*.md"), ROOT / "README.md"])

_ROW = re.compile(r"^   \* - (.*(?:\n       .*)*)\n     -(?: (.*))?$", re.MULTILINE)
_PYTHON_RST = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)
_PYTHON_MARKDOWN = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (DOCS / f"{name}.rst").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """Return what stands under a title of the second level, up to the next one."""
    parts = re.split(r"^(.+)\n-{3,}\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def table(text: str) -> dict[str, str]:
    """Return the second column by each name that stands as code in the first one."""
    return {name: second for first, second in _ROW.findall(text) for name in re.findall(r"``(.+?)``", first)}


def names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def python_blocks(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8") + "\n"
    if path.suffix == ".md":
        return _PYTHON_MARKDOWN.findall(text)
    return [re.sub("^   ", "", block, flags=re.MULTILINE) for block in _PYTHON_RST.findall(text)]


def shown_default(value: object) -> str:
    """Return a default as the tables show it."""
    if value is None or value is False:
        return "" if value is None else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


BLOCKS = [(f"{path.name}-{number}", block) for path in PAGES for number, block in enumerate(python_blocks(path), 1)]


def test_the_connection_page_has_every_extra_field_and_its_default() -> None:
    settings = Settings(api_key="a-key")
    defaults = {name: getattr(settings, name) for name in EXTRA_FIELDS}
    expected = {name: "none" if value is None else f"{value:g}" for name, value in defaults.items()}
    assert table(section(page("connection"), "Extra")) == expected


def test_the_errors_page_has_every_error() -> None:
    errors = {name for name, kind in vars(exceptions).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert set(table(section(page("errors"), "What each one means"))) == errors


@pytest.mark.parametrize(
    ("title", "keys"), [("Quote", names(VideoQuote)), ("Download", {*names(StoredVideo), "job", "labels"})]
)
def test_the_operators_page_has_every_key_that_is_returned(title: str, keys: set[str]) -> None:
    assert set(table(section(page("operators"), title))) == keys


def test_the_operators_page_names_only_keys_that_a_job_has() -> None:
    assert {"model", "queue_id", "download_url"} < set(table(section(page("operators"), "Queue"))) < names(VideoJob)


def test_the_simulator_page_has_every_flag_and_its_default() -> None:
    actions = {action.option_strings[-1]: action for action in command_line._parser()._actions}
    del actions["--help"]
    documented = table(section(page("simulator"), "Flags"))
    assert {flag.split()[0] for flag in documented} == set(actions)
    for flag, default in documented.items():
        action = actions[flag.split()[0]]
        assert default == shown_default(action.default), flag
        if action.choices:
            assert flag.split()[1] == "{" + ",".join(action.choices) + "}"


def test_the_simulator_page_has_every_tag_and_endpoint() -> None:
    assert set(table(section(page("simulator"), "Tags in a prompt"))) == set(TAGS)
    faults = section(page("simulator"), "Faults")
    assert [name for name in ENDPOINTS if f"``{name}``" not in faults] == []


@pytest.mark.parametrize("block", [pytest.param(block, id=name) for name, block in BLOCKS])
def test_python_compiles_and_imports_what_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_venice"):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_readme_makes_a_dag() -> None:
    (block,) = python_blocks(ROOT / "README.md")
    made: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), made)
    dag = made["dag"]
    assert getattr(dag, "task_ids", None) == ["generate"]


def test_the_readmes_figures_are_those_that_were_measured() -> None:
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "performance.md" in line]
    measured = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "measured").glob("*.md"))
    figures = {figure for row in rows for figure in re.findall(r"\d[\d,]*\.?\d+", row)}
    assert len(figures) > 10
    assert sorted(figure for figure in figures if not re.search(rf"(?<![\d.,]){figure}(?![\d.,]*\d)", measured)) == []


def test_the_readme_has_as_many_faults_as_the_table() -> None:
    from tests.reliability.test_fault_table import cells

    assert f"| {len(cells())} cases," in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_picture_is_shown_and_describes_itself() -> None:
    pictures = {path.name for path in (DOCS / "pictures").rglob("*") if path.is_file()}
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert {name for name in pictures if f"/{name}" not in text} == set()
    images = re.findall(r"^ *\.\. (?:image|figure):: (\S+)\n((?: +:.*\n)*)", text, re.MULTILINE)
    assert len(images) > 20
    assert [name for name, options in images if ":alt:" not in options] == []


def test_the_readme_links_to_every_page() -> None:
    links = set(re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert [link for link in links if not (ROOT / link).exists()] == []
    pages = {str(path.relative_to(ROOT)) for path in PAGES}
    # Two include files of the root, which are linked.
    assert pages - links == {"README.md", "docs/index.rst", "docs/changelog.md", "docs/contributing.md"}
    assert {"CHANGELOG.md", "CONTRIBUTING.md"} <= links
