"""Whether Airflow's UI shows the clips."""

from __future__ import annotations

#: The first Airflow whose UI takes views of others.
_FIRST = "3.1.1"


def is_ui_on() -> bool:
    """Whether this Airflow can show the clips, and its configuration does not say otherwise (``[venice] ui``)."""
    import airflow
    from packaging.version import Version

    from airflow_provider_venice.version_compat import conf

    if Version(Version(airflow.__version__).base_version) < Version(_FIRST):
        return False
    return bool(conf.getboolean("venice", "ui", fallback=True))
