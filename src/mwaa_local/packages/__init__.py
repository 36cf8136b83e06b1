"""Constraints, resolving and package sets: what `pip install -r requirements.txt` does on MWAA, done once.

`ensure_base` and `ensure` install, `link` puts a set into place. Imports catalog and model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mwaa_local.packages.base import ensure_base
    from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
    from mwaa_local.packages.links import link, linked, prune
    from mwaa_local.packages.listing import Change, diff, installed
    from mwaa_local.packages.pythons import Interpreter
    from mwaa_local.packages.pythons import find as find_python
    from mwaa_local.packages.sets import PackageSet, ensure, load

__all__ = [
    "Change",
    "Conflict",
    "Interpreter",
    "PackageSet",
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
]

# Where each name lives, and under which name there. Whoever wants one module of this room (`child`, say, as every
# command does) must not pay for the resolver's half of the tool.
_HOMES = {
    "Change": "listing",
    "Conflict": "failure",
    "Interpreter": "pythons",
    "PackageSet": "sets",
    "UnmetRequirementsError": "failure",
    "diff": "listing",
    "ensure": "sets",
    "ensure_base": "base",
    "find_python": "pythons",
    "installed": "listing",
    "link": "links",
    "linked": "links",
    "load": "sets",
    "prune": "links",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), "find" if name == "find_python" else name)
