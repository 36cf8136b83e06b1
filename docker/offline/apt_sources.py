"""The Debian mirror and keyring of this machine, read from its own apt configuration.

Nothing about a mirror is written down in this repository: an air-gapped site has its own, and apt already knows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from commands import OfflineError

DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Source:
    """One of apt's sources: address, suites and components, and the key it is signed with (None: the default)."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    keyring: Path | None

    def one_line(self, suite: str, trusted: str) -> str:
        """Give the sources.list line of one suite, e.g. ``deb [signed-by=..] URI SUITE main``."""
        return f"deb {trusted}{self.uri} {suite} {' '.join(self.components)}"


def read_sources(etc: Path = Path("/etc/apt")) -> tuple[Source, ...]:
    """Read every enabled binary source in both of apt's formats (sources.list(5))."""
    found: list[Source] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            found += _from_lines(path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        found += _from_deb822(path.read_text(encoding="utf-8", errors="replace"))
    return tuple(found)


def _from_lines(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line.strip())
        if match:
            options = dict(part.split("=", 1) for part in (match[1] or "").split() if "=" in part)
            keyring = Path(options["signed-by"]) if "signed-by" in options else None
            found.append(Source(match[2].rstrip("/"), (match[3],), tuple(match[4].split()), keyring))
    return found


def _from_deb822(text: str) -> list[Source]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace() and last:
                fields[last] += f" {line.strip()}"
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.strip().lower()
                fields[last] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        signed = fields.get("signed-by", "")
        keyring = Path(signed) if signed.startswith("/") else None
        for uri in fields.get("uris", "").split():
            found.append(
                Source(
                    uri.rstrip("/"),
                    tuple(fields.get("suites", "").split()),
                    tuple(fields.get("components", "").split()),
                    keyring,
                )
            )
    return found


@dataclass(frozen=True)
class Mirror:
    """Where one Debian release comes from: its main archive, its other suites (updates, security), its keyring."""

    suite: str
    uri: str
    keyring: Path
    lines: tuple[str, ...]


def mirror(suite: str, sources: tuple[Source, ...], given: str | None = None, keyring: Path | None = None) -> Mirror:
    """Choose the mirror of a Debian release.

    Args:
        suite: the release's code name, e.g. ``bookworm``.
        sources: what ``read_sources`` found.
        given: an address that wins over what was found (``--mirror``).
        keyring: a keyring that wins over what was found (``--keyring``).

    Raises:
        OfflineError: the machine knows no Debian mirror, or there is no keyring to check it with.
    """
    # An https mirror with a name and password in it must not end up in an image that gets handed round.
    debian = [source for source in sources if source.keyring is None or "debian" in source.keyring.name]
    exact = [source for source in debian if suite in source.suites]
    # A Debian machine of another release: the same mirror holds the release we want.
    near = [source for source in debian if source.components and any("-" not in name for name in source.suites)]
    chosen = (exact or near or [None])[0]
    uri = given or (chosen.uri if chosen else None)
    if uri is None:
        raise OfflineError(
            f"this machine's apt configuration names no Debian mirror that could hold {suite}",
            "give one with --mirror ADDRESS (and --keyring FILE), as in docs/how-to/air-gapped.md",
        )
    key = keyring or (chosen.keyring if chosen and chosen.keyring else DEFAULT_KEYRING)
    if not key.is_file():
        raise OfflineError(
            f"the Debian keyring {key} is not there, so the packages of {suite} cannot be checked",
            "install the package debian-archive-keyring, or give the file with --keyring",
        )
    components = tuple(chosen.components) if chosen and chosen.components else ("main",)
    lines = [Source(uri, (), components, None).one_line(suite, "")]
    for source in debian if given is None else []:
        for name in source.suites:
            if name.startswith(f"{suite}-"):
                lines.append(source.one_line(name, ""))
    return Mirror(suite, uri, key, tuple(dict.fromkeys(lines)))
