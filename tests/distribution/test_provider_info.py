"""What Airflow is told of this package is what the package has."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_venice as package
from airflow_provider_venice import links
from airflow_provider_venice.get_provider_info import get_provider_info
from tests.distribution.facts import check_what_is_known, known_to_airflow

SOURCES = Path(package.__file__).parent
INFO = get_provider_info()

#: How the code reads an option of the section [venice].
_OPTION = re.compile(r"""conf\.get\w*\("venice", "(\w+)"|configured_roots\("(\w+)"\)""")


def modules_with(folder: str, kind: type) -> set[str]:
    """Return the modules of a part of the package that define a class of a kind."""
    part = importlib.import_module(f"{package.__name__}.{folder}")
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(part.__path__, f"{part.__name__}.")]
    return {
        module.__name__
        for module in modules
        for _, found in inspect.getmembers(module, inspect.isclass)
        # An alias such as tuple[int] is a class to the inspect of Python 3.10.
        if found.__module__ == module.__name__ and issubclass(found, kind)
    }


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("operators", BaseOperator),
        ("sensors", BaseSensorOperator),
        ("hooks", BaseHook),
        ("triggers", BaseTrigger),
    ],
)
def test_every_module_is_listed(kind: str, base: type) -> None:
    (listed,) = INFO[kind]
    assert set(listed["python-modules"]) == modules_with(kind, base)
    assert listed["integration-name"] == INFO["integrations"][0]["integration-name"]


def test_every_option_is_listed() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    read = {first or second for first, second in _OPTION.findall(code)}
    assert set(INFO["config"]["venice"]["options"]) == read


def test_every_link_is_listed() -> None:
    kinds = [kind for _, kind in inspect.getmembers(links, inspect.isclass) if kind.__module__ == links.__name__]
    found = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if issubclass(kind, BaseOperatorLink)}
    assert set(INFO["extra-links"]) == found


def test_the_logo_is_where_the_api_server_serves_it() -> None:
    (integration,) = INFO["integrations"]
    prefix, name = integration["logo"].rsplit("/", 1)
    assert prefix == "/venice/assets"
    assert (SOURCES / "plugin" / "pages" / "assets" / name).read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.slow
def test_airflow_knows_the_package_and_loads_its_plugin_once(tmp_path: Path) -> None:
    check_what_is_known(known_to_airflow(tmp_path))
