"""The page about the commands has all of them, with their options, and its examples are accepted."""

from __future__ import annotations

import re
import shlex

import pytest

from airflow_provider_venice.__main__ import get_parser
from airflow_provider_venice.cli.definition import VENICE_COMMANDS
from tests.cli.page import SECTIONS, TEXT

#: Explained once for all commands.
SHARED = {"--conn-id", "--output", "--verbose"}

EXAMPLES = re.findall(r"^   (?:\$ )?(?:airflow venice|python -m airflow_provider_venice) (.+)$", TEXT, re.MULTILINE)


def test_each_command_has_a_section_with_its_options() -> None:
    assert list(SECTIONS) == [command.name for command in VENICE_COMMANDS]
    for command in VENICE_COMMANDS:
        flags = {flag for arg in command.args for flag in arg.flags if flag.startswith("--")} - SHARED
        missing = [flag for flag in flags if f"``{flag}``" not in SECTIONS[command.name]]
        # The simulator's flags are on its own page.
        assert not missing or command.name == "simulate", (command.name, missing)
    assert [flag for flag in SHARED if f"``{flag}``" not in TEXT] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_accepted(example: str) -> None:
    get_parser().parse_args(shlex.split(example))


def test_there_is_an_example_of_each_command() -> None:
    assert {example.split()[0] for example in EXAMPLES} == set(SECTIONS)
