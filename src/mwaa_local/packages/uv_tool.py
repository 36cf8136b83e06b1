"""uv with pip's rules switched on: its binary, its environment and its options."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from mwaa_local.errors import MachineError
from mwaa_local.packages import child
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading

# Of uv's own variables only those that say how to reach things; the others could change the result.
_KEPT = frozenset({
    "UV_CONCURRENT_BUILDS", "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_HTTP_CONNECT_TIMEOUT",
    "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "UV_INSECURE_HOST", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_OFFLINE",
    "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR", "UV_REQUEST_TIMEOUT", "UV_SYSTEM_CERTS",
})  # fmt: skip
_DROPPED = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "FORCE_COLOR"})
# Limits in seconds; pip's own default is 15 for the first answer, and some machines set minutes.
_TIMEOUT_S = 30
_LONGEST_TIMEOUT_S = 60
_CONNECT_S = 5
_RETRIES = 2


@cache
def binary() -> Path:
    """The uv that the tool's own Python carries, else the one on PATH.

    Raises:
        MachineError: there is none.
    """
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        if found := child.program("uv"):
            return found
        raise MachineError(
            "uv is not installed",
            why="packages are resolved and installed with it",
            hint="run `make install`, which puts it beside the tool",
        ) from error


@dataclass(frozen=True)
class Uv:
    """How uv is run.

    Attributes:
        cache: The tool's cache folder; uv's own cache lies in it unless ``UV_CACHE_DIR`` is set.
        environment: The merged variables of the component: proxies, tokens, compiler flags.
        settings: pip's configuration.
    """

    cache: Path
    environment: Mapping[str, str]
    settings: PipSettings

    @property
    def cache_dir(self) -> Path:
        """uv's own cache."""
        named = self.environment.get("UV_CACHE_DIR")
        return Path(named) if named else self.cache / "uv"

    def variables(self, indexes: Indexes | None = None, target: Path | None = None) -> dict[str, str]:
        """The environment of a uv run.

        Indexes travel as variables rather than as words of the command, because they may hold passwords and other
        users of the machine can read commands.

        Args:
            indexes: Where packages come from.
            target: The folder installed into: where uv's cache is on another file system, files are copied.
        """
        settings = self.settings
        out = {
            name: value
            for name, value in self.environment.items()
            if name not in _DROPPED and (name in _KEPT or not name.startswith(("UV_", "PIP_")))
        }
        out.setdefault("PATH", os.defpath)
        if not Path(out.get("HOME", "/nonexistent")).is_dir():
            out.pop("HOME", None)
            with contextlib.suppress(KeyError):
                out["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
        out |= {
            "UV_CACHE_DIR": str(self.cache_dir),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
        }
        # The machine's own certificates, so that a company's proxy is trusted outside a prepared shell too.
        out.setdefault("UV_SYSTEM_CERTS", "true")
        out.setdefault("UV_NATIVE_TLS", "true")
        if settings.cert and Path(settings.cert).exists():
            out["SSL_CERT_DIR" if Path(settings.cert).is_dir() else "SSL_CERT_FILE"] = settings.cert
        elif not Path(out.get("SSL_CERT_FILE", "/")).exists():
            del out["SSL_CERT_FILE"]  # uv warns about it at each run
        if settings.client_cert:
            out["SSL_CLIENT_CERT"] = settings.client_cert
        if settings.proxy:
            out |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), settings.proxy)
        wanted = settings.timeout if settings.timeout is not None else _TIMEOUT_S
        out.setdefault("UV_HTTP_TIMEOUT", str(int(max(1, min(wanted, _LONGEST_TIMEOUT_S)))))
        out.setdefault("UV_HTTP_CONNECT_TIMEOUT", str(_CONNECT_S))
        out.setdefault("UV_HTTP_RETRIES", str(settings.retries if settings.retries is not None else _RETRIES))
        if target is not None and not self._one_device(target):
            out.setdefault("UV_LINK_MODE", "copy")
        if indexes is not None and not indexes.no_index:
            if indexes.default:
                out["UV_DEFAULT_INDEX"] = indexes.default
            if indexes.extra:
                out["UV_INDEX"] = " ".join(indexes.extra)
        return out

    def _one_device(self, target: Path) -> bool:
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        existing = next(path for path in (target, *target.parents) if path.exists())
        return self.cache_dir.stat().st_dev == existing.stat().st_dev


def cut_off_of(reading: Reading) -> date | None:
    """The cut-off date that the reading's constraint sources ask for."""
    return min((part.source.cut_off for part in reading.parts if part.source.cut_off), default=None)


def resolver_options(
    reading: Reading, settings: PipSettings, cut_off: date | None, indexes: Indexes | None = None
) -> list[str]:
    """Options that make uv choose as pip does (design 11).

    Args:
        reading: What is resolved.
        settings: pip's configuration.
        cut_off: Newest upload date.
        indexes: The places uv is told of, where they are not the reading's own.
    """
    out = [
        "--index-strategy",
        "unsafe-best-match",
        "--keyring-provider",
        "subprocess" if settings.keyring_provider == "subprocess" else "disabled",
    ]
    if reading.pre or settings.pre:
        # Otherwise uv's own default, which is pip's rule: only where nothing else fits or the line asks for one.
        out += ["--prerelease", "allow"]
    indexes = indexes or reading.indexes
    if indexes.no_index:
        out.append("--no-index")
    for link in indexes.find_links:
        out += ["--find-links", link]
    for host in indexes.trusted_hosts:
        out += ["--allow-insecure-host", host]
    for option, values in (("--no-binary", reading.no_binary), ("--only-binary", reading.only_binary)):
        for name in _package_list(values):
            out += [option, name]
    for path in settings.build_constraints:
        out += ["--build-constraints", path]
    if settings.no_deps:
        out.append("--no-deps")
    if settings.upgrade:
        out.append("--upgrade")
    if settings.no_build_isolation:
        out.append("--no-build-isolation")
    for entry in reading.entries:
        for value in entry.config_settings:
            out += (
                ["--config-settings-package", f"{entry.name}:{value}"] if entry.name else ["--config-settings", value]
            )
    if cut_off is not None:
        # The day itself still counts; without a time of day uv would take the machine's own time zone.
        end = datetime(cut_off.year, cut_off.month, cut_off.day, tzinfo=UTC) + timedelta(days=1)
        out += ["--exclude-newer", end.strftime("%Y-%m-%dT%H:%M:%SZ")]
    return out


def _package_list(values: Sequence[str]) -> list[str]:
    """pip's meaning of repeated lists: ``:none:`` empties what was said before, ``:all:`` stands for every package."""
    out: list[str] = []
    for value in values:
        for name in filter(None, (word.strip() for word in value.split(","))):
            if name == ":none:":
                out = []
            else:
                out.append(name)
    return [":all:"] if ":all:" in out else out
