"""The files around the package: what GitHub, PyPI, Read the Docs and contributors read."""

from __future__ import annotations

import email
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from airflow_provider_venice import __version__
from tests.compat.environments import RELEASES, ROOT, run_uv

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PAGES = [*sorted(ROOT.glob("*.md")), GITHUB / "PULL_REQUEST_TEMPLATE.md"]

#: Where the repository is, without its owner.
ADDRESS = re.compile(r"https://github\.com/[^/\"\s]+/airflow-provider-venice")

#: Which schema of check-jsonschema each file keeps to.
SCHEMAS = [
    *(("github-workflows", path) for path in WORKFLOWS),
    *(("github-issue-forms", path) for path in (GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")),
    ("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
    ("dependabot", GITHUB / "dependabot.yml"),
    ("readthedocs", ROOT / ".readthedocs.yaml"),
    ("citation-file-format", ROOT / "CITATION.cff"),
]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "src", "srcset") and value}


def links(markdown: str) -> set[str]:
    """Return where a page leads to, pictures included."""
    parser = _Links()
    parser.feed(MarkdownIt("commonmark").enable("table").render(markdown))
    return parser.found


def relative_links(markdown: str) -> set[str]:
    return {link for link in links(markdown) if not re.match(r"[a-z]+:|#", link)}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def check_schema(schema: str, path: Path) -> Result:
    return CliRunner().invoke(check_jsonschema.main, ["--builtin-schema", f"vendor.{schema}", str(path)])


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Message:
    """What the built wheel says of itself."""
    folder = tmp_path_factory.mktemp("wheel")
    run_uv("build", "--quiet", "--wheel", "--out-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.mark.parametrize(("schema", "path"), [pytest.param(*each, id=each[1].name) for each in SCHEMAS])
def test_each_file_keeps_to_its_schema(schema: str, path: Path) -> None:
    result = check_schema(schema, path)
    assert result.exit_code == 0, result.output


def test_a_file_that_breaks_its_schema_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "ci.yml"
    broken.write_text(read(".github/workflows/ci.yml").replace("runs-on:", "runs:"))
    result = check_schema("github-workflows", broken)
    assert result.exit_code == 1
    assert "'runs-on' is a required property" in result.output


def test_the_hooks_are_valid() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_action_and_hook_is_pinned_by_its_commit() -> None:
    used = [line for path in WORKFLOWS for line in re.findall(r"uses: (?!\./)(.+)", path.read_text())]
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    revisions = re.findall(r"rev: (.+)", read(".pre-commit-config.yaml"))
    assert revisions
    assert [line for line in revisions if not re.fullmatch(r"[0-9a-f]{40} # frozen: v[\d.]+", line)] == []


def test_one_action_has_one_version() -> None:
    used = {line for path in WORKFLOWS for line in re.findall(r"uses: (?!\./)(.+)", path.read_text())}
    assert len({line.split("@")[0] for line in used}) == len(used)


def test_ci_runs_each_supported_airflow_and_python() -> None:
    jobs = load(GITHUB / "workflows" / "ci.yml")["jobs"]
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', read("pyproject.toml"))
    assert jobs["fast-tests"]["strategy"]["matrix"]["python"] == pythons
    newest = ".".join(importlib.metadata.version("apache-airflow").split(".")[:2])
    pairs = jobs["airflow"]["strategy"]["matrix"]["include"]
    assert {pair["airflow"].rpartition(".")[0] for pair in pairs} == {release.minor for release in RELEASES} | {newest}
    assert {pair["python"] for pair in pairs} <= set(pythons)


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "CONTRIBUTING.md", ROOT / "README.md"], ids=lambda path: path.name)
def test_each_make_command_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    called = set(re.findall(r"(?:`|run: |^)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert called <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_relative_link_leads_to_a_file(path: Path) -> None:
    targets = {link.partition("#")[0] for link in relative_links(path.read_text(encoding="utf-8"))}
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.slow
def test_the_links_on_pypi_lead_into_the_repository(metadata: Message) -> None:
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    home, shown = urls["Homepage"], metadata.get_payload()
    assert isinstance(shown, str)
    assert relative_links(shown) == set()
    pictures = {link for link in relative_links(read("README.md")) if re.search(r"\.(webp|svg|png)$", link)}
    pages = relative_links(read("README.md")) - pictures
    assert pictures
    assert {f"{home}/raw/v{__version__}/{link}" for link in pictures} <= links(shown)
    assert {f"{home}/blob/v{__version__}/{link}" for link in pages} <= links(shown)


def test_the_address_of_the_repository_stands_in_one_file() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    naming = {
        name
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file() and ADDRESS.search((ROOT / name).read_text("utf-8", errors="ignore"))
    }
    assert naming == {"pyproject.toml"}
    assert len(set(ADDRESS.findall(read("pyproject.toml")))) == 1


def test_the_version_is_the_same_everywhere() -> None:
    assert load(ROOT / "CITATION.cff")["version"] == __version__
    newest = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest == "Unreleased" or newest.startswith(f"{__version__} - ")


#: Where the check of a release runs.
REPOSITORY = "somebody/airflow-provider-venice"


def check_release(folder: Path, *, tag: str, repository: str, heading: str) -> subprocess.CompletedProcess[str]:
    """Run the check of the release's workflow on copies of what it reads."""
    (script,) = [
        step["run"] for step in load(GITHUB / "workflows" / "release.yml")["jobs"]["check"]["steps"] if "run" in step
    ]
    (folder / "airflow_provider_venice").mkdir()
    (folder / "airflow_provider_venice" / "__init__.py").write_text(read("airflow_provider_venice/__init__.py"))
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    (folder / "pyproject.toml").write_text(ADDRESS.sub(f"https://github.com/{repository}", read("pyproject.toml")))
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "GITHUB_REF_NAME": tag, "GITHUB_REPOSITORY": REPOSITORY},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


READY = {"tag": f"v{__version__}", "repository": REPOSITORY, "heading": f"## {__version__} - 2026-12-01"}


def test_what_is_ready_can_be_released(tmp_path: Path) -> None:
    result = check_release(tmp_path, **READY)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tag": "v0.0.9"}, f"The tag is v0.0.9, the version of the package is {__version__}"),
        ({"heading": "## Unreleased"}, f"CHANGELOG.md has no section '## {__version__} - <date>'"),
        (
            {"repository": "OWNER/airflow-provider-venice"},
            f"pyproject.toml names another repository than {REPOSITORY}: https://github.com/OWNER/",
        ),
    ],
)
def test_what_is_not_ready_is_not_released(tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    result = check_release(tmp_path, **(READY | wrong))
    assert result.returncode == 1
    assert f"::error::{message}" in result.stdout
