"""Where packages may come from: indexes and links, merged from pip's configuration and the requirements file."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mwaa_local.packages.paths import from_url, is_url, locate, redact
from mwaa_local.packages.pip_settings import PipSettings

_DISTRIBUTIONS = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


@dataclass(frozen=True)
class Indexes:
    """Sources of packages.

    Attributes:
        default: The main index; ``None`` is the public one.
        extra: Further indexes; the best version of all counts, as with pip.
        find_links: Folders and pages with archives.
        no_index: Only ``find_links`` count.
        trusted_hosts: Hosts whose certificates are not checked and that plain http may be used with.
    """

    default: str | None = None
    extra: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def with_index(self, url: str) -> Indexes:
        """``--index-url`` of a file: it replaces every index named before (pip: the whole list)."""
        return self if self.no_index else replace(self, default=url, extra=())

    def with_extra(self, urls: Sequence[str]) -> Indexes:
        """``--extra-index-url`` of a file."""
        return self if self.no_index else replace(self, extra=(*self.extra, *urls))

    def without_index(self) -> Indexes:
        """``--no-index``."""
        return replace(self, default=None, extra=(), no_index=True)

    def with_links(self, link: str) -> Indexes:
        """``--find-links`` of a file."""
        return replace(self, find_links=(*self.find_links, link))

    def with_trust(self, hosts: Sequence[str]) -> Indexes:
        """``--trusted-host`` of a file."""
        return replace(self, trusted_hosts=(*self.trusted_hosts, *hosts))

    def described(self) -> list[str]:
        """pip's first lines, passwords masked."""
        out = []
        known = [redact(url) for url in (self.default, *self.extra) if url]
        if self.extra or (self.default and known):
            out.append("Looking in indexes: " + ", ".join(known if self.default else ["(the public index)", *known]))
        if self.find_links:
            out.append("Looking in links: " + ", ".join(redact(link) for link in self.find_links))
        return out

    def local_archives(self) -> list[Path]:
        """Archives on this machine that the links offer: their contents decide the result."""
        found: set[Path] = set()
        for link in self.find_links:
            path = Path(link)
            if path.is_dir():
                found.update(entry for entry in path.iterdir() if entry.name.endswith(_DISTRIBUTIONS))
            elif path.is_file():
                found.add(path)
        return sorted(found)


def from_settings(settings: PipSettings) -> Indexes:
    """The indexes of pip's configuration."""
    if settings.no_index:
        return Indexes(find_links=settings.find_links, no_index=True, trusted_hosts=settings.trusted_hosts)
    return Indexes(settings.index_url, settings.extra_index_urls, settings.find_links, False, settings.trusted_hosts)


def usable(indexes: Indexes, path_map: Mapping[str, Path]) -> Indexes:
    """What can be asked: paths where they really are, places pip would skip with a warning left out.

    pip goes on where a local folder is missing or a plain-http host is not trusted; uv stops. The warnings are pip's.
    """
    notes: list[str] = []
    links: list[str] = []
    for link in indexes.find_links:
        if is_url(link) and not link.lower().startswith("file:"):
            if _secure(link, indexes.trusted_hosts, notes.append):
                links.append(link)
            continue
        path = locate(from_url(link) if link.lower().startswith("file:") else link, path_map)
        if path.exists():
            links.append(str(path))
        else:
            notes.append(f"WARNING: Location '{link}' is ignored: it is neither a file nor a directory.")

    def reachable(url: str) -> str | None:
        if url.lower().startswith("file:") or not is_url(url):
            path = locate(from_url(url) if is_url(url) else url, path_map)
            if path.is_dir():
                return path.as_uri()
            notes.append(f"WARNING: Location '{url}' is ignored: it is neither a file nor a directory.")
            return None
        return url if _secure(url, indexes.trusted_hosts, notes.append) else None

    default = reachable(indexes.default) if indexes.default else None
    extra = tuple(url for url in map(reachable, indexes.extra) if url)
    no_index = indexes.no_index
    if indexes.default and default is None:
        # The named main index is ignored, and the public one was not asked for: only what is left may be used.
        if extra:
            default, extra = extra[0], extra[1:]
        else:
            no_index = True
    return replace(
        indexes,
        default=default,
        extra=extra,
        no_index=no_index,
        find_links=tuple(dict.fromkeys(links)),
        notes=tuple(notes),
    )


def _secure(url: str, trusted: Sequence[str], warn: Callable[[str], None]) -> bool:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() != "http":
        return True
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        if ipaddress.ip_address(host).is_loopback:
            return True
    except ValueError:
        pass
    if host in trusted or f"{host}:{parts.port}" in trusted:
        return True
    warn(
        f"WARNING: The repository located at {host} is not a trusted or secure host and is being ignored. If this "
        f"repository is available via HTTPS we recommend you use HTTPS instead, otherwise you may silence this "
        f"warning and allow it anyway with '--trusted-host {host}'."
    )
    return False
