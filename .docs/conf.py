"""Configuration of Sphinx: the pages are the docstrings of what users call."""

import logging
import sys
from pathlib import Path

from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parents[1]))

import dal

logging.getLogger("faiss.loader").setLevel(logging.WARNING)

project = "dal"
author = "the authors of dal"
release = dal.__version__
html_title = f"dal {release}"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["templates"]
exclude_patterns = ["templates"]
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 110  # of names with their modules
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Every name in a docstring has to lead somewhere, apart from those of other packages.
nitpicky = True
OTHERS = "abc|collections|enum|lightning|numpy|np|pandas|pathlib|pd|PIL|torch|torchmetrics|L|nn"
nitpick_ignore_regex = [("py:.*", rf"(list\[~)?({OTHERS})\..*"), ("py:class", r".*\.T|Tokenizer")]


def resolve_by_ending(app, env, node, contnode):
    """A link to the one documented name that ends like a reference, as code would write it.

    ``fisher.blocks`` is ``dal.functional.fisher.blocks``, and what is named by the module that
    defines it, ``dal.data.pool.Pool.label``, is where users import it from.
    """
    parts = node["reftarget"].lstrip("~.").split(".")
    objects = env.get_domain("py").objects
    for ending in (parts, parts[-2:]):
        found = {
            entry.node_id: (name, entry)
            for name, entry in objects.items()
            if name.split(".")[-len(ending) :] == ending and not entry.aliased
        }
        if len(found) == 1:
            ((name, entry),) = found.values()
            page = (node["refdoc"], entry.docname)
            return make_refnode(app.builder, *page, entry.node_id, contnode, name)
    return None


def readable_defaults(app, what, name, obj, options, signature, returns):
    """A signature that can be parsed: defaults that a dataclass makes are three dots."""
    return signature and signature.replace("<factory>", "..."), returns


def setup(app):
    """Registers what is above."""
    app.connect("missing-reference", resolve_by_ending)
    app.connect("autodoc-process-signature", readable_defaults)
