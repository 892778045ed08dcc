"""Sphinx configuration; ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# autodoc imports Airflow, which writes a configuration file into its home.
home = os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-docs-")
atexit.register(shutil.rmtree, home, ignore_errors=True)

from sphinx.application import Sphinx  # noqa: E402

from airflow_provider_venice import __version__  # noqa: E402

project = "airflow-provider-venice"
author = "The airflow-provider-venice contributors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosectionlabel", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "measured"]  # performance.md includes what was measured
html_theme = "furo"
html_title = f"airflow-provider-venice {release}"
html_logo = html_favicon = "../airflow_provider_venice/plugin/pages/assets/logo.svg"
html_static_path = ["static"]
html_css_files = ["logo.css"]

# Links: each to a page, a section or a name of the package has to lead somewhere. Those to names of Airflow and the
# standard library would need their inventories, and a network to fetch them.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!airflow_provider_venice\.).*"),
    ("py:class", r".*\.(generation\..*|hooks\.prepared\..*|simulator\.jobs\..*)"),  # not for users
]
myst_heading_anchors = 3
autosectionlabel_prefix_document = True  # :ref:`reliability:Doubt`
autosectionlabel_maxdepth = 3

# Signatures: one parameter a line where they are long, names without their modules.
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"RequestLike": "RequestLike", "JobLike": "JobLike"}
add_module_names = False
python_display_short_literal_types = True
python_maximum_signature_line_length = 120
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"


def shorten_signature(
    app: object, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leave out of a class's signature what Airflow takes beyond: the page says so once for all."""
    if what == "class" and signature is not None:
        signature = re.sub(r"(, )?\*\*kwargs: [\w~.]+(?=\)$)", "", signature)
    return signature, returns


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", shorten_signature)
