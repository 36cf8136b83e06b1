"""One package index put together from all that a requirements file and pip's configuration name.

pip merges the files of a release over all indexes and links; uv takes a release from one of them. So where there is
more than one place, uv is given a single index under a name of its own, answered here: its requests come through the
variable ``HTTP_PROXY``, so that the name, by which uv keys its cache, can stay the same while the port changes with
each run. Files are fetched by uv itself, except those that need a login, which this end adds.

pip passes over a place that cannot be asked; so does this, and tells which and why.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import re
import secrets
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mwaa_local.errors import MachineError
from mwaa_local.packages import child, fetch, index_sources, uv_tool
from mwaa_local.packages.credentials import Logins, plain, with_login
from mwaa_local.packages.index_sources import LeftOut, Source
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.paths import redact
from mwaa_local.packages.uv_tool import Uv

if TYPE_CHECKING:
    from mwaa_local.packages.upstream import Client

_DOMAIN = "indexes.mwaa-local.invalid"
_THREADS = 24
_ASKED_AGAIN = 3
_PROXIES = ("HTTP_PROXY", "http_proxy")
_OTHER_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@dataclass
class Offered:
    """What uv is given for a run.

    Attributes:
        indexes: What uv is told of places.
        variables: Further variables of the run, to come after uv's own.
        sources: The places put together; empty where uv asks itself.
        host: The index's name.
        client: What asks them.
        logins: Their logins.
        undated: There are places whose files have no date of upload.
        memory: A folder for what uv's lock file does not tell.
    """

    indexes: Indexes
    variables: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    host: str = ""
    client: Client | None = None
    logins: Logins | None = None
    undated: bool = False
    memory: Path = Path()

    def left_out(self) -> tuple[LeftOut, ...]:
        """Places that pip passes over, as far as they were asked."""
        return tuple(told for source in self.sources if (told := source.left_out()) is not None)

    def original(self, url: str) -> str:
        """The real address of a file, with the login it needs; other addresses as they are."""
        real = self.behind(url)
        if real is None or self.logins is None:
            return url
        return with_login(real, self.logins.of(real) or self.logins.asked(real))

    def behind(self, url: str) -> str | None:
        """The real address, without a login, of a file that goes through this end."""
        prefix = f"http://{self.host}/files/"
        found = re.match(r"([\w=-]+)/[^/]+?(\.metadata)?$", url[len(prefix) :])
        if not self.host or not url.startswith(prefix) or found is None:
            return None
        try:
            return base64.urlsafe_b64decode(found[1]).decode() + (found[2] or "")
        except ValueError:
            return None

    def translate(self, text: str) -> str:
        """uv's words with the addresses the user knows."""
        if not self.host:
            return text
        text = re.sub(
            rf"http://{re.escape(self.host)}/files/[\w=-]+/[^\s`)]+",
            lambda found: redact(self.behind(found[0]) or found[0]),
            text,
        )
        return re.sub(rf"http://{re.escape(self.host)}/simple/?", "the package indexes: ", text)

    def note_withdrawn(self, project: str, urls: Sequence[str]) -> None:
        """Remember files that were withdrawn beside others of the same release; uv's own cache outlives this run."""
        kept = self.memory / f"{self.host}.{project}.withdrawn"
        with contextlib.suppress(OSError):  # a full disk costs the name of a file in the report
            if urls:
                fetch.write_atomically(kept, "\n".join(urls))
            else:
                kept.unlink(missing_ok=True)

    def withdrawn(self, project: str) -> frozenset[str]:
        """The real addresses of those files."""
        try:
            text = (self.memory / f"{self.host}.{project}.withdrawn").read_text(encoding="utf-8") if self.host else ""
        except OSError:
            return frozenset()
        return frozenset(map(self.original, text.splitlines()))

    def shown(self, url: str) -> str:
        """The address that a file on the page has for uv."""
        assert self.client is not None
        if not url.lower().startswith(("http:", "https:")) or self.client.login(url) is None:
            return url
        token = base64.urlsafe_b64encode(plain(url).encode()).decode()
        return f"http://{self.host}/files/{token}/{urllib.parse.urlsplit(url).path.rpartition('/')[2]}"


def needed(indexes: Indexes) -> bool:
    """Whether there is more than one place, or one that pip passes over and uv does not."""
    if any(link.lower().startswith(("http:", "https:")) for link in indexes.find_links):
        return True
    return not indexes.no_index and bool(indexes.extra or indexes.find_links)


@contextlib.contextmanager
def opened(indexes: Indexes, uv: Uv, *, offline: bool = False) -> Iterator[Offered]:
    """An index for the runs of uv inside the block; a single place is asked by uv itself.

    Args:
        indexes: The places, as ``indexes.usable`` gives them.
        uv: Proxies, certificates, time-outs, logins, and the cache.
        offline: Nobody is asked; uv looks into its cache under the same name.
    """
    if not needed(indexes):
        yield Offered(indexes)
        return
    host = f"i{_name(indexes)}.{_DOMAIN}"
    given = Indexes(f"http://{host}/simple/", trusted_hosts=indexes.trusted_hosts)
    named = [] if indexes.no_index else list(filter(None, (indexes.default, *indexes.extra)))
    logins = Logins((*named, *indexes.find_links), uv.environment, uv.settings)
    offered = Offered(given, host=host, logins=logins, memory=uv.cache / "index-pages")
    if offline:
        yield offered
        return
    # Here, because what most commands do needs no HTTP client.
    from mwaa_local.packages import merged_server
    from mwaa_local.packages.upstream import Client, Limits

    own = uv.variables(None)
    limits = Limits(float(own["UV_HTTP_CONNECT_TIMEOUT"]), float(own["UV_HTTP_TIMEOUT"]), int(own["UV_HTTP_RETRIES"]))
    urls = [] if indexes.no_index else [indexes.default or public_index(uv.cache_dir), *indexes.extra]
    client = Client(logins, uv.environment, uv.settings, indexes.trusted_hosts, limits, uv.cache / "index-pages")
    offered.client = client
    offered.sources = [
        *(index_sources.of_link(link, client) for link in dict.fromkeys(indexes.find_links)),
        *(index_sources.of_index(url, client) for url in dict.fromkeys(urls)),
    ]
    token = secrets.token_urlsafe(16)
    with ThreadPoolExecutor(_THREADS) as pool, merged_server.serving(offered, client, pool, token) as port:
        offered.variables = _variables(own, f"http://mwaa-local:{token}@127.0.0.1:{port}", limits.longest_s)
        try:
            yield offered
        finally:
            client.close()


def still_left_out(told: Sequence[LeftOut], indexes: Indexes, uv: Uv) -> bool:
    """Whether all places that were passed over once would be again.

    Args:
        told: What was passed over then.
        indexes: The places.
        uv: How they are asked.
    """
    with opened(indexes, uv) as offered:
        places = {redact(source.url): source for source in offered.sources}
        for item in told:
            source = places.get(item.url)
            if source is None:
                return False
            for project in item.projects[:_ASKED_AGAIN]:
                source.page(project)
            if source.left_out() is None:
                return False
    return True


def _name(indexes: Indexes) -> str:
    """The same for the same places in the same order, whatever the logins."""
    places = ["" if url is None else redact(url) for url in (indexes.default, *indexes.extra)]
    words = [*map(redact, indexes.find_links), "|", *([] if indexes.no_index else places)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _variables(own: Mapping[str, str], address: str, longest_s: float) -> dict[str, str]:
    """What makes uv ask this end for plain http, and wait as long as this end may need."""
    out = dict.fromkeys(_PROXIES, address)
    excepted = (own.get("no_proxy") or own.get("NO_PROXY") or "").split(",")
    if any(entry.strip() in {"*", ".invalid", "invalid", ".", _DOMAIN} for entry in excepted):
        # Nothing of the user's goes through a proxy; the index made here has to.
        out |= dict.fromkeys(_OTHER_PROXIES, "")
    out["UV_HTTP_TIMEOUT"] = str(max(int(own["UV_HTTP_TIMEOUT"]), math.ceil(longest_s) + 5))
    return out


@cache
def public_index(uv_cache: Path) -> str:
    """The index that counts where none is named: uv's own default, which is pip's.

    Args:
        uv_cache: uv's cache, which knows the Python already.

    Raises:
        MachineError: there is no uv.
    """
    done = child.run(
        [uv_tool.binary(), "pip", "compile", "-", "--emit-index-url", "--no-header", "--offline", "--quiet",
         "--python", sys.executable],
        env={"UV_NO_CONFIG": "1", "NO_COLOR": "1", "UV_CACHE_DIR": str(uv_cache)}, timeout_s=30.0,
    )  # fmt: skip
    found = next((line.split()[1] for line in done.lines if line.startswith("--index-url ")), None)
    if found is None:
        raise MachineError(
            "uv does not tell its index", why="\n".join(done.lines[-3:]),
            hint="name the main index: --index-url, or PIP_INDEX_URL",
        )  # fmt: skip
    return found
