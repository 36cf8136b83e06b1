"""Failures about what a line names itself: an address, a repository or an archive, where no index takes part."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading

# From here; MWAA may have another way to it, or a login.
_UNREACHABLE = re.compile(
    r"dns error|tcp connect error|client error \(Connect\)|operation timed out|invalid peer certificate|"
    r"error trying to connect|Could not resolve host|Name or service not known|Connection (?:refused|timed out)|"
    r"Could not read from remote repository|unable to access '|could not read Username|Authentication failed|"
    r"Permission denied \(publickey|repository '[^']*' not found|HTTP status client error \(40[137]|"
    r"HTTP status server error|Git executable not found|git: command not found"
)
# Everywhere.
_UNFIT = re.compile(
    r"HTTP status client error[^\n]*|does not appear to be a git repository|"
    r"(?:Failed to extract archive|Failed to read metadata|Failed to read from zip file)[^\n]*|"
    r"Requested package name[^\n]*|to end in a supported file extension[^\n]*|Couldn't parse requirement[^\n]*"
)


def failure(text: str, lines: Sequence[str], reading: Reading) -> UnmetRequirementsError | None:
    """The failure of a line that names an address or an archive, where a resolver's output tells of one.

    Args:
        text: Everything the resolver printed.
        lines: The same, shortened.
        reading: What it was given.

    Returns:
        Of kind ``network`` where it may be this machine's fault, else of kind ``syntax``; ``None`` for other failures.
    """
    named = [entry for entry in reading.entries if told(text, entry)]
    if not named or ("No solution found" in text and not _UNREACHABLE.search(text)):
        return None
    unfit = _UNFIT.search(text)
    beyond = _UNREACHABLE.search(text)
    if beyond and not (unfit and "does not appear to be a git repository" in text):
        signs = [line for line in lines if _UNREACHABLE.search(line)] or [beyond[0]]
        reason, kind = next((line for line in signs if not line.startswith("client error")), signs[0]), "network"
        what = f"{redact(named[0].text)} cannot be fetched from here"
        hint = "check the address and the login, or ship a wheel in plugins.zip, which needs neither"
    elif unfit:
        reason, kind = next((line for line in reversed(lines) if _UNFIT.search(line)), unfit[0]), "syntax"
        what = f"{redact(named[0].text)} is nothing that pip can install"
        hint = "correct the address, or ship a wheel in plugins.zip"
    else:
        return None
    return UnmetRequirementsError(
        what,
        kind="network" if kind == "network" else "syntax",
        where=", ".join(f"{entry.file}, line {entry.line}" for entry in named),
        why=reason,
        hint=hint,
        conflicts=[Conflict(entry.file, entry.line, redact(entry.text), source=reason) for entry in named],
        explanation=lines,
        packages=[entry.name for entry in named if entry.name],
    )


def told(text: str, entry: Entry) -> bool:
    """Whether a resolver's output speaks of the address or path of a line."""
    return entry.kind != "index" and _address(entry) in text


def _address(entry: Entry) -> str:
    """The part of a line's address that a resolver repeats: host and path, or the path here."""
    if entry.local is not None:
        return str(entry.local)
    url = entry.text.rpartition(" @ ")[2].partition("#")[0].partition(" ;")[0].partition("; ")[0].strip()
    parts = urllib.parse.urlsplit(url)
    head, slash, last = parts.path.rpartition("/")
    path = f"{head}{slash}{last.partition('@')[0]}" if entry.kind == "vcs" else parts.path
    return f"{parts.netloc.rpartition('@')[2]}{path}"
