"""Constraints, resolving and package sets: what `pip install -r requirements.txt` does on MWAA, done once.

`ensure_base` and `ensure` install, `link` puts a set into place, `resolve` only asks. Imports catalog and model.
"""

from mwaa_local.packages.base import ensure_base
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.links import link, linked, prune
from mwaa_local.packages.listing import Change, diff, installed
from mwaa_local.packages.pythons import Interpreter
from mwaa_local.packages.pythons import find as find_python
from mwaa_local.packages.resolve import Resolution, resolve
from mwaa_local.packages.sets import PackageSet, ensure, load

__all__ = [
    "Change",
    "Conflict",
    "Interpreter",
    "PackageSet",
    "Resolution",
    "UnmetRequirementsError",
    "diff",
    "ensure",
    "ensure_base",
    "find_python",
    "installed",
    "link",
    "linked",
    "load",
    "prune",
    "resolve",
]
