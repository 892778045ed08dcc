"""The page on deployments, and the files that it shows: no cluster is here, so that they are read and compared."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.cli import cli_parser
from airflow.configuration import retrieve_configuration_description

from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.transport.settings import Settings, decode_extra

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "deployment.rst").read_text(encoding="utf-8")
COMPOSE_TEXT = (DOCS / "deployment" / "compose.yaml").read_text(encoding="utf-8")
VALUES: dict[str, Any]
COMPOSE: dict[str, Any]
VALUES, COMPOSE = (
    yaml.safe_load((DOCS / "deployment" / name).read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
    for name in ("values.yaml", "compose.yaml")
)

#: Options of the Celery provider, which is not installed for the tests.
OF_CELERY = {("celery", "worker_concurrency"), ("celery_broker_transport_options", "visibility_timeout")}

#: Top-level keys of the chart that the values use; `helm` itself ignores one that it does not know.
CHART_KEYS = {
    *("airflowVersion", "apiSecretKeySecretName", "apiServer", "config", "defaultAirflowRepository"),
    *("defaultAirflowTag", "env", "executor", "fernetKeySecretName", "jwtSecretName", "secret", "triggerer", "workers"),
}

#: Those of a component of it.
COMPONENT_KEYS = {
    *("extraVolumeMounts", "extraVolumes", "persistence", "replicas", "resources", "terminationGracePeriodSeconds"),
}

#: Services of Airflow's compose file that run Airflow.
SERVICES = {
    *("airflow-apiserver", "airflow-cli", "airflow-dag-processor", "airflow-init", "airflow-scheduler"),
    *("airflow-triggerer", "airflow-worker"),
}

SERVICE_KEYS = {"build", "environment", "image", "restart", "stop_grace_period", "volumes"}

#: Programs of the page's commands that are not Airflow's, with what of them is used.
OTHER_COMMANDS = {
    *("docker compose", "helm repo", "helm upgrade", "kubectl create", "kubectl exec"),
    *("mkdir -p", "python -c", "export"),
}


@pytest.fixture(scope="module")
def options() -> set[tuple[str, str]]:
    sections = retrieve_configuration_description(include_providers=True)
    known = {(section, option) for section, found in sections.items() for option in found["options"]}
    assert ("venice", "ui_roots") in known
    return known | OF_CELERY


def of_environment(text: str) -> Iterator[tuple[str, str]]:
    """Give section and option of each variable of Airflow's configuration in a text."""
    for name in re.findall(r"AIRFLOW__\w+", text):
        _, section, option = name.split("__")
        yield section.lower(), option.lower()


def commands(page: str) -> Iterator[list[str]]:
    """Give the words of each command in a page's shell blocks."""
    for _, block in re.findall(r"^( *)\.\. code-block:: shell\n\n((?:\1 +.*\n|\n)+)", page, re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                yield shlex.split(line)


COMMANDS = list(commands(PAGE))


def is_of_airflow(words: list[str]) -> bool:
    parser = cli_parser.get_parser()
    try:
        parser.parse_args(words[1:])
    except (SystemExit, argparse.ArgumentError):
        return False
    return True


def settings(monkeypatch: pytest.MonkeyPatch, connection: str) -> Settings:
    """Return what the package makes of a connection in the environment."""
    monkeypatch.setenv("AIRFLOW_CONN_DEPLOYED", connection)
    found = read_connection("deployed")
    assert found.conn_type == VeniceHook.conn_type
    return Settings.of(found, decode_extra(found.extra))


def test_the_values_name_options_that_exist(options: set[tuple[str, str]]) -> None:
    named = {(section, option) for section, given in VALUES["config"].items() for option in given}
    assert named - options == set()


def test_the_compose_file_names_options_that_exist(options: set[tuple[str, str]]) -> None:
    assert len(set(of_environment(COMPOSE_TEXT))) >= 8
    assert set(of_environment(COMPOSE_TEXT)) - options == set()


def test_the_page_names_options_that_exist(options: set[tuple[str, str]]) -> None:
    named = set(re.findall(r"``\[(\w+)\] (\w+)", PAGE))
    assert len(named) >= 15
    assert (named | set(of_environment(PAGE))) - options == set()


def test_each_variable_of_the_page_belongs_to_the_option_before_it() -> None:
    pairs = re.findall(r"``\[(\w+)\] (\w+)``(?:[^`]{0,40}|\s)``AIRFLOW__(\w+?)__(\w+)``", PAGE)
    assert len(pairs) >= 10
    assert [pair for pair in pairs if pair[:2] != (pair[2].lower(), pair[3].lower())] == []


def test_the_values_have_only_keys_of_the_chart() -> None:
    assert set(VALUES) - CHART_KEYS == set()
    workers = VALUES["workers"]
    assert set(workers) == {"celery", "kubernetes"}
    for component in (workers["celery"], workers["kubernetes"], VALUES["triggerer"], VALUES["apiServer"]):
        assert set(component) - COMPONENT_KEYS == set()


@pytest.mark.parametrize("kind", ["celery", "kubernetes"])
def test_a_worker_has_room_for_its_partial_files(kind: str) -> None:
    worker = VALUES["workers"][kind]
    (volume,), (mount,) = worker["extraVolumes"], worker["extraVolumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}
    # The node takes the volume for a part of the container's storage.
    size = float(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
    assert size <= float(worker["resources"]["requests"]["ephemeral-storage"].removesuffix("Gi"))
    assert size < float(worker["resources"]["limits"]["ephemeral-storage"].removesuffix("Gi"))


def test_each_secret_of_the_values_is_made_on_the_page() -> None:
    wanted = {(secret["secretName"], secret["secretKey"]) for secret in VALUES["secret"]}
    wanted |= {
        (VALUES["fernetKeySecretName"], "fernet-key"),
        (VALUES["jwtSecretName"], "jwt-secret"),
        (VALUES["apiSecretKeySecretName"], "api-secret-key"),
    }
    made = {
        (words[4], word.removeprefix("--from-literal=").partition("=")[0])
        for words in COMMANDS
        if words[:4] == ["kubectl", "create", "secret", "generic"]
        for word in words
        if word.startswith("--from-literal=")
    }
    assert made == wanted


def test_the_secret_of_the_page_is_a_connection_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    (words,) = (words for words in COMMANDS if "airflow-venice" in words)
    literal = next(word for word in words if word.startswith("--from-literal=connection="))
    read = settings(monkeypatch, literal.removeprefix("--from-literal=connection="))
    assert read.api_key == "your-api-key"
    # What the page says of several triggerers.
    assert read.queue_limit * VALUES["triggerer"]["replicas"] == Settings(api_key="a-key").queue_limit


def test_the_connection_of_the_compose_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = COMPOSE["services"]["airflow-worker"]["environment"]["AIRFLOW_CONN_VENICE_DEFAULT"]
    filled = re.sub(r"\$\{VENICE_API_KEY:\?[^}]*\}", "a-key", text)
    assert filled != text
    json.loads(filled)
    assert settings(monkeypatch, filled).api_key == "a-key"


def test_the_compose_file_has_only_known_keys() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services"}
    assert set(COMPOSE["services"]) == SERVICES
    for name, service in COMPOSE["services"].items():
        assert set(service) - SERVICE_KEYS == set(), name
        assert service["environment"] == COMPOSE["x-venice"]["environment"]
        # YAML's own numbers and booleans are no values of a variable in each version of compose.
        assert all(isinstance(value, str) for value in service["environment"].values())
    ending = ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
    assert {COMPOSE["services"][name]["restart"] for name in ending} == {"always"}


def test_workers_and_api_server_of_the_compose_file_see_the_clips_under_one_path() -> None:
    mounts = {
        name: [volume for volume in COMPOSE["services"][name]["volumes"] if isinstance(volume, str)]
        for name in ("airflow-worker", "airflow-apiserver")
    }
    assert mounts == {"airflow-worker": ["./clips:/clips"], "airflow-apiserver": ["./clips:/clips:ro"]}
    assert COMPOSE["x-venice"]["environment"]["AIRFLOW__VENICE__UI_ROOTS"] == "/clips"


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)[:60]) for words in COMMANDS])
def test_the_commands_of_the_page_exist(words: list[str]) -> None:
    inner = words[words.index("airflow") :] if "airflow-scheduler" in words else words
    if inner[0] == "airflow":
        assert is_of_airflow(inner)
    else:
        assert {" ".join(words[:2]), words[0]} & OTHER_COMMANDS


def test_the_command_in_the_text_exists() -> None:
    named = re.findall(r"``(airflow [a-z].*?)``", PAGE)
    assert named == ["airflow providers get airflow-provider-venice"]
    assert is_of_airflow(shlex.split(named[0]))


def test_a_command_that_does_not_exist_is_found() -> None:
    assert not is_of_airflow(["airflow", "pools", "make", "venice_downloads"])


def test_the_files_are_shown_and_the_image_has_the_package() -> None:
    shown = re.findall(r"literalinclude:: deployment/(\S+)", PAGE)
    assert sorted(shown) == sorted(path.name for path in (DOCS / "deployment").iterdir())
    dockerfile = (DOCS / "deployment" / "Dockerfile").read_text(encoding="utf-8")
    assert fnmatch(
        "airflow_provider_venice-0.1.0-py3-none-any.whl", re.findall(r"^COPY \S+ (\S+)", dockerfile, re.M)[0]
    )
    assert "/tmp/wheels/*.whl" in dockerfile
    assert f"AIRFLOW_VERSION={VALUES['airflowVersion']}\n" in dockerfile
    assert VALUES["defaultAirflowTag"] == VALUES["airflowVersion"]
