"""Where paths of MWAA's container really are on this machine, and back."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path


def locate(path: str, path_map: Mapping[str, Path]) -> Path:
    """The real place of an absolute path as MWAA's container has it; the longest mapped prefix counts."""
    for prefix in sorted(path_map, key=len, reverse=True):
        plain = prefix.rstrip("/")
        if path == plain or path.startswith(plain + "/"):
            return path_map[prefix] / path[len(plain) :].lstrip("/")
    return Path(path)


def shown(path: Path, path_map: Mapping[str, Path]) -> str:
    """A real path as the user knows it from MWAA: ``/usr/local/airflow/...`` where the map knows it."""
    best: str | None = None
    depth = -1
    for prefix, real in path_map.items():
        if path == real or path.is_relative_to(real):
            parts = len(real.parts)
            if parts > depth:
                rest = path.relative_to(real).as_posix()
                best = prefix.rstrip("/") if rest == "." else f"{prefix.rstrip('/')}/{rest}"
                depth = parts
    return best if best is not None else str(path)


def from_url(url: str) -> str:
    """The path of a ``file:`` URL."""
    return urllib.request.url2pathname(urllib.parse.urlsplit(url).path)


def is_url(text: str) -> bool:
    """Whether pip would take the text as a URL rather than a path (pip: a known scheme and a colon)."""
    scheme, colon, _ = text.partition(":")
    return bool(colon) and scheme.lower() in {
        "http", "https", "file", "ftp",
        "git", "git+http", "git+https", "git+ssh", "git+git", "git+file",
        "hg+http", "hg+https", "hg+ssh", "hg+file",
        "svn", "svn+http", "svn+https", "svn+ssh", "svn+svn", "svn+file",
        "bzr+http", "bzr+https", "bzr+ssh", "bzr+sftp", "bzr+ftp", "bzr+lp", "bzr+file",
    }  # fmt: skip


def is_vcs(text: str) -> bool:
    """Whether a URL names a repository of a version control system."""
    scheme = text.partition(":")[0].lower()
    return is_url(text) and (scheme in {"git", "svn"} or "+" in scheme)


def redact(text: str) -> str:
    """The text without user names and passwords in URLs: ``https://****@host`` (pip masks them the same way)."""
    out: list[str] = []
    rest = text
    while (at := rest.find("://")) >= 0:
        head, rest = rest[: at + 3], rest[at + 3 :]
        end = next((i for i, char in enumerate(rest) if char in "/?# \t\n'\"`<>),;"), len(rest))
        authority, rest = rest[:end], rest[end:]
        login, sign, host = authority.rpartition("@")
        out.append(head + (f"****@{host}" if sign and login not in {"git"} else authority))
    return "".join(out) + rest
