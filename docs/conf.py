"""Configuration of Sphinx."""

import os
import sys
from datetime import datetime, timezone
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "astro_galtrans"
author = "astro_galtrans developers"
copyright = f"{datetime.now(timezone.utc).year}, {author}"
release = installed_version(project)
version = release.partition(".dev")[0]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "sphinx_automodapi.automodapi",
    "sphinx_automodapi.smart_resolver",
    "numpydoc",
    "pytest_doctestplus.sphinx.doctestplus",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxarg.ext",
]
exclude_patterns = ["_build", "_ext", "changes", "GALLERY_HEADER.rst"]
default_role = "obj"
add_module_names = False
# Quotation marks and ellipses, not dashes: -- begins an option.
smartquotes_action = "qe"
# The docstrings have the types, in words.
autodoc_typehints = "none"

numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
automodapi_toctreedirnm = "api"
automodapi_inheritance_diagram = False
automodsumm_inherited_members = False

# Every script in examples runs in the build, and stops it if it fails.
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorials", "../examples/gallery"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"\.py",
    "within_subsection_order": "gallery.Order",
    "reset_modules": ("gallery.set_style",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "image_srcset": ["2x"],
    "copyfile_regex": r".*\.rst",
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
    "thumbnail_size": (420, 300),
}

# The inventories come from the network, so that links to other projects are made where pages are published; elsewhere
# their names stay plain text.
if os.environ.get("READTHEDOCS"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "astropy": ("https://docs.astropy.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
        "specutils": ("https://specutils.readthedocs.io/en/stable/", None),
        "asdf": ("https://www.asdf-format.org/projects/asdf/en/stable/", None),
    }
_OTHERS = (
    "asdf|astropy|collections|galsim|jinja2|lightning|matplotlib|monai|nflows|numpy|os|pathlib|photutils|reproject|"
    "scipy|specutils|torch|tqdm|typing|zarr"
)
nitpick_ignore_regex = [
    ("py:.*", rf"({_OTHERS})(\..*)?"),
    ("py:.*", r"(None|True|False|bool|bytes|callable|dict|float|int|iterable|list|object|str|tuple|type)"),
    ("py:.*", r"\w+(Error|Warning)"),
    ("py:class", r"astro_galtrans\.\w+\._.*"),  # private bases of public classes
]

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_theme_options = {
    "logo": {"text": project}, "show_prev_next": False, "navigation_depth": 2, "secondary_sidebar_items": ["page-toc"],
    # The links and the search button fit into one row of a narrow window.
    "navbar_align": "left", "navbar_persistent": ["search-button"], "header_links_before_dropdown": 8,
}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
man_pages = [("command_reference", "galtrans", "translate images of galaxies from one survey to another", [], 1)]
