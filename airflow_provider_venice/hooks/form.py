"""The connection form: labels, placeholders and help, written once for every version of Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_venice.transport.settings import DEFAULT_BASE_URL

#: Per field of the extra: its label, its JSON type, and what it does, with unit and default.
EXTRA_FORM = {
    "connect_timeout": ("Connect timeout", "number", "Seconds to wait for a connection. Default: 10."),
    "read_timeout": ("Read timeout", "number", "Seconds to wait for the next byte of an answer. Default: 120."),
    "retry_attempts": (
        "Attempts",
        "integer",
        "How often a request is made at most; a submission that may have arrived is never made again. Default: 5.",
    ),
    "retry_max_wait": ("Longest wait", "number", "Longest wait between two attempts, in seconds. Default: 90."),
    "queue_limit": ("Submissions a minute", "integer", "The key's rate limit for /video/queue. Default: 40."),
    "retrieve_limit": ("Polls a minute", "integer", "The key's rate limit for /video/retrieve. Default: 120."),
    "poll_interval": (
        "Poll interval",
        "number",
        "Fewest seconds between two polls of a job. Default: chosen from the model's own run times.",
    ),
    "admin_conn_id": (
        "Admin connection",
        "string",
        "Id of a second Venice connection, with an ADMIN key of the same account. It is used only to read what the "
        "account was charged, such as where a submission is in doubt.",
    ),
    "billing_delay": (
        "Billing delay",
        "number",
        "Seconds after the end of a submission until its charge is in the usage history, at the latest. Default: 600.",
    ),
}

HIDDEN_FIELDS = ["schema", "login", "port"]
RELABELING = {"password": "API key", "host": "Base URL"}
PLACEHOLDERS = {"password": "Your Venice API key", "host": DEFAULT_BASE_URL}


def connection_type(hook_class_name: str) -> dict[str, Any]:
    """
    Return the connection type as provider info knows it; the form in it serves Airflow 3.2 and later.

    :param hook_class_name: full name of the hook's class.
    """
    return {
        "connection-type": "venice",
        "hook-class-name": hook_class_name,
        "hook-name": "Venice.ai",
        "ui-field-behaviour": {
            "hidden-fields": HIDDEN_FIELDS,
            "relabeling": RELABELING,
            "placeholders": PLACEHOLDERS,
        },
        "conn-fields": {
            name: {"label": label, "description": description, "schema": {"type": [kind, "null"]}}
            for name, (label, kind, description) in EXTRA_FORM.items()
        },
    }


def form_widgets() -> dict[str, Any]:
    """Return the fields of the extra as wtforms fields, for Airflow 3.0 and 3.1."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    # Airflow's form knows no field for numbers with a fraction; their text is read as a number later.
    return {
        name: (IntegerField if kind == "integer" else StringField)(
            label, widget=BS3TextFieldWidget(), validators=[Optional()], description=description
        )
        for name, (label, kind, description) in EXTRA_FORM.items()
    }
