"""Sphinx configuration; ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# autodoc imports Airflow, which writes a configuration file into its home.
home = os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-docs-")
atexit.register(shutil.rmtree, home, ignore_errors=True)

from airflow_provider_venice import __version__  # noqa: E402

project = "airflow-provider-venice"
author = "The airflow-provider-venice authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "measured"]  # performance.md includes what was measured
html_theme = "furo"
html_title = f"airflow-provider-venice {release}"

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
