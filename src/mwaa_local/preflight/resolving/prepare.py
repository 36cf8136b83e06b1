"""Whether pip can ask a source archive for its metadata, and what of the answer is a fact of the package.

Only facts are kept: an archive that refuses this Python refuses it tomorrow too, while a header, a compiler, space on
the disk or a network that is missing today says nothing about the package.
"""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import Literal

from mwaa_local.errors import MwaaLocalError
from mwaa_local.packages import child, explain, fetch, pip_tool
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight.packaging import fetch as packaging_fetch
from mwaa_local.preflight.resolving.types import Package, Situation

Judgement = Literal["fine", "refused", "here", "unknown"]

# The archive's own refusal of this Python, whatever else the machine has: pip's sentence, what set-up scripts say, and
# what old ones use that Python or its standard library no longer has.
_REFUSAL = re.compile(
    r"requires a different Python|Requires-Python|"
    r"(?i:(?:requires?|needs?|supports? only|only supports?) python)|"
    r"(?i:python \S* ?(?:or (?:newer|later|higher) )?is required)|"
    r"(?i:not (?:support|compatible with) (?:this )?(?:version of )?python)|"
    r"(?i:python version \S+ (?:is )?(?:un|not )supported|unsupported python version)|"
    r"No module named '(?:distutils|imp|asynchat|asyncore|smtpd|cgi|pipes|lib2to3)'|"
    r"module 'pkgutil' has no attribute 'ImpImporter'|has no attribute 'SafeConfigParser'|"
    r"use_2to3 is invalid|SyntaxError: |neither 'setup\.py' nor 'pyproject\.toml' found|"
    r"has inconsistent (?:name|version)"
)
# What only this machine, or only this moment, brings about.
_HERE = re.compile(
    r"No module named '?pip\b|ERROR: Exception:|No space left on device|Disk quota exceeded|"
    r"Errno (?:12|13|24|28|30|122)\b|Permission denied|Read-only file system|Cannot allocate memory|MemoryError|"
    r"[Kk]illed|Too many open files|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|NameResolutionError|"
    r"Max retries exceeded|ProxyError|SSLError|HTTP error \d+|Connection (?:reset|aborted|refused)"
)
# Something that a build asks the machine for; MWAA's image may have it.
_LACKS = re.compile(
    r"fatal error: \S+: No such file|command '?\S+'? (?:failed|not found)|\S+ (?:executable )?not found|"
    r"unable to execute|cannot find -l|Unable to find|could not (?:find|locate)|[Ii]s it installed|not installed|"
    r"\b(?:gcc|g\+\+|cc1|clang|cargo|rustc|cmake|ninja|pkg-config|pg_config|mysql_config|krb5-config|xml2-config|Python\.h)\b"
)


def judge(code: int, timed_out: bool, text: str) -> Judgement:
    """What pip's attempt says.

    Args:
        code: Its exit code.
        timed_out: It was stopped.
        text: Everything it printed.

    Returns:
        ``fine``: it can be prepared. ``refused``: never for this Python. ``here``: not here and now, which says nothing
        of MWAA. ``unknown``: it failed, perhaps for something that is missing here.
    """
    if timed_out or code < 0:
        return "here"
    if code == 0:
        return "fine"
    if _HERE.search(text):
        return "here"
    return "refused" if _REFUSAL.search(text) and not _LACKS.search(text) else "unknown"


def prepares(package: Package, reading: Reading, situation: Situation) -> UnmetRequirementsError | None:
    """Why pip cannot even ask a source archive for its metadata; ``None`` where it can, or where nobody can tell here.

    uv reads what the archive says of itself; pip starts its build, which may refuse this Python. A fact is kept by the
    archive's digest, everything else is tried again.

    Args:
        package: A package whose archive is no wheel.
        reading: The file, for the lines of a failure.
        situation: Without a base set of MWAA's Python on Linux nothing is tried.
    """
    archive, base = package.archive, situation.base
    if (
        not situation.builds
        or archive is None
        or base is None
        or base.minor != situation.version.python
        or platform.system() != "Linux"
    ):
        return None
    kept = situation.uv.cache / "prepared" / f"{archive.sha256[:40]}-{base.minor}.json"
    text = _known(kept) if archive.sha256 else None
    if text is None:
        try:
            path = packaging_fetch.archive(archive, situation.uv)
        except (MwaaLocalError, OSError):
            return None
        done = child.run(
            child.python(
                base.interpreter, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", path
            ),
            env=pip_tool.variables(situation.uv, reading.indexes),
            timeout_s=situation.timeout_s,
        )
        judgement = judge(done.code, done.timed_out, done.text)
        if judgement == "here":
            return None
        text = "" if judgement == "fine" else done.text
        if archive.sha256 and judgement in {"fine", "refused"}:
            _keep(kept, text)
    if not text:
        return None
    cause = explain.failure(text, reading, python=situation.version.python)
    what = (
        f"{package.name} {package.version} has no wheel for Python {situation.version.python}, and "
        "its source archive cannot be prepared"
    )
    return UnmetRequirementsError(
        what, kind="build", where=cause.where, why=cause.why, hint=f"take a version of {package.name} with a wheel",
        conflicts=cause.conflicts, explanation=cause.explanation, packages=[package.name],
    )  # fmt: skip


def _known(kept: Path) -> str | None:
    try:
        return str(json.loads(kept.read_text(encoding="utf-8"))["says"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(kept: Path, text: str) -> None:
    try:
        fetch.write_atomically(kept, json.dumps({"says": text}))
    except OSError:  # a full disk costs another try, not the verdict
        return
