"""pip's own configuration (``PIP_*`` variables and ``pip.conf``), read as pip reads it.

On MWAA pip runs with the environment the startup script exported (spec/10 section 4.1), so ``PIP_INDEX_URL`` and its
like decide where packages come from. uv does not know these names: they are read here and translated.

This machine's own configuration has a say in how packages are reached, because here they come over this machine's
network. In which of them are taken it has none: MWAA does not have it.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import pwd
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
# What decides which packages are taken: on MWAA only the file and the startup script's exports do.
_CHOOSING = frozenset({
    "constraint", "no-binary", "only-binary", "prefer-binary", "pre", "no-deps", "upgrade", "upgrade-strategy",
    "require-hashes", "uploaded-prior-to",
})  # fmt: skip


@dataclass(frozen=True)
class PipSettings:
    """What pip's configuration says for ``pip install``; times in seconds, ``None`` where it says nothing."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    build_constraints: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    pre: bool = False
    no_deps: bool = False
    upgrade: bool = False
    require_hashes: bool = False
    no_build_isolation: bool = False
    keyring_provider: str | None = None
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    retries: int | None = None


def read(environment: Mapping[str, str], prefix: Path | None = None) -> PipSettings:
    """The settings ``pip install`` would use.

    Args:
        environment: The variables pip would see. uv's own variables and ``uv.toml`` of the user and the machine count
            for indexes where pip's configuration says nothing.
        prefix: The environment pip would run in; its ``pip.conf`` is the site-wide one.
    """
    values = {name: value for name, value in _from_files(environment, prefix).items() if name not in _CHOOSING}
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            values[name[4:].lower().replace("_", "-")] = value

    own = _of_uv(environment)

    def words(option: str) -> tuple[str, ...]:
        return tuple(values.get(option, "").split())

    def flag(option: str) -> bool:
        return values.get(option, "").strip().lower() in _TRUE

    return PipSettings(
        index_url=values.get("index-url", "").strip() or own.index_url,
        extra_index_urls=words("extra-index-url") or own.extra_index_urls,
        find_links=words("find-links") or own.find_links,
        no_index=flag("no-index"),
        trusted_hosts=words("trusted-host"),
        constraints=words("constraint"),
        build_constraints=words("build-constraint"),
        no_binary=words("no-binary"),
        only_binary=words("only-binary"),
        pre=flag("pre"),
        no_deps=flag("no-deps"),
        upgrade=flag("upgrade"),
        require_hashes=flag("require-hashes"),
        # pip's own reading: PIP_NO_BUILD_ISOLATION=false switches the isolation off too (its option is inverted).
        no_build_isolation=bool(values.get("no-build-isolation", "").strip()),
        keyring_provider=values.get("keyring-provider"),
        cert=values.get("cert")
        or environment.get("REQUESTS_CA_BUNDLE")
        or environment.get("CURL_CA_BUNDLE")
        or environment.get("SSL_CERT_FILE")
        or None,
        client_cert=values.get("client-cert"),
        proxy=values.get("proxy"),
        timeout=_number(values.get("default-timeout") or values.get("timeout")),
        retries=_whole(values.get("retries")),
    )


def of_machine(variables: Mapping[str, str]) -> dict[str, str]:
    """A process environment of this machine without the ``PIP_*`` variables that choose packages."""
    return {
        name: value
        for name, value in variables.items()
        if not (name.startswith("PIP_") and name[4:].lower().replace("_", "-") in _CHOOSING)
    }


def _from_files(environment: Mapping[str, str], prefix: Path | None) -> dict[str, str]:
    """``[global]`` of all files, then ``[install]`` of all files: the order of pip's ``ConfigOptionParser``."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _files(environment, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # not readable for pip either; the user's own pip says so
        for section, options in sections.items():
            if parser.has_section(section):
                options.update({key.lower().replace("_", "-"): value for key, value in parser.items(section)})
    return {**sections["global"], **sections["install"]}


def _files(environment: Mapping[str, str], prefix: Path | None) -> Iterable[Path]:
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    for folder in reversed((environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    if not (named and Path(named).exists()):
        yield from _user_files(environment)
    if prefix is not None:
        yield prefix / "pip.conf"
    if named:
        yield Path(named)


def _user_files(environment: Mapping[str, str]) -> Iterable[Path]:
    """The account's files, then those of ``HOME`` where a component has a home folder of its own."""
    homes = []
    with contextlib.suppress(KeyError):  # a container started under a number without an account
        homes.append(Path(pwd.getpwuid(os.getuid()).pw_dir))
    if environment.get("HOME"):
        homes.append(Path(environment["HOME"]))
    for home in dict.fromkeys(homes):
        yield home / ".pip" / "pip.conf"
        yield home / ".config" / "pip" / "pip.conf"
    if environment.get("XDG_CONFIG_HOME"):
        yield Path(environment["XDG_CONFIG_HOME"]) / "pip" / "pip.conf"


def _of_uv(environment: Mapping[str, str]) -> PipSettings:
    """Indexes of uv's own configuration: variables, else ``uv.toml`` of the user, else that of the machine."""
    found = PipSettings(
        index_url=environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or None,
        extra_index_urls=tuple((environment.get("UV_INDEX") or environment.get("UV_EXTRA_INDEX_URL") or "").split()),
        find_links=_split(environment.get("UV_FIND_LINKS", "")),
    )
    if environment.get("UV_NO_CONFIG"):
        return found
    folders = [path.parents[1] for path in _user_files(environment) if path.parent.parent.name == ".config"]
    for path in (*(folder / "uv" / "uv.toml" for folder in reversed(folders)), Path("/etc/uv/uv.toml")):
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        told = {**told, **told.get("pip", {})}
        named = [entry for entry in told.get("index", []) if entry.get("url")]
        default = next((entry["url"] for entry in named if entry.get("default")), told.get("index-url"))
        extra = [entry["url"] for entry in named if not entry.get("default") and not entry.get("explicit")]
        return replace(
            found,
            index_url=found.index_url or default,
            extra_index_urls=found.extra_index_urls or (*extra, *told.get("extra-index-url", ())),
            find_links=found.find_links or tuple(told.get("find-links", ())),
        )
    return found


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None
