"""Logins for package indexes, found where pip looks for them: the URL, the index's URL, netrc, a keyring."""

from __future__ import annotations

import netrc
import os
import shutil
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.packages import child
from mwaa_local.packages.pip_settings import PipSettings

_KEYRING_S = 30.0


@dataclass(frozen=True)
class Login:
    """A user name and a password."""

    user: str
    password: str


@dataclass(frozen=True)
class Logins:
    """What is known of logins.

    Attributes:
        indexes: The index addresses as they are configured; those with a login lend it to files of the same host.
        environment: ``NETRC``, ``HOME``, ``PATH``.
        settings: pip's configuration (``keyring_provider``).
    """

    indexes: Sequence[str]
    environment: Mapping[str, str]
    settings: PipSettings

    def of(self, url: str) -> Login | None:
        """The login to send with a request, before the server asks for one."""
        user, password = parts_of(url)
        if user is not None and password is not None:
            return Login(user, password)
        index = self._index(url)
        if index is not None:
            user, password = parts_of(index)
            if user is not None and password is not None:
                return Login(user, password)
        found = self._netrc(url)
        if found is not None:
            return found
        # A user name alone is a token for some servers; pip sends it with an empty password.
        return Login(user, "") if user is not None else None

    def asked(self, url: str) -> Login | None:
        """The login for a server that answered 401: that of a keyring, where pip is told to ask one by its command."""
        if self.settings.keyring_provider in {None, "", "auto", "disabled"}:
            return None
        index = self._index(url)
        user = parts_of(url)[0] or (parts_of(index)[0] if index else None)
        command = shutil.which("keyring", path=self.environment.get("PATH"))
        if user is None or command is None:
            return None
        for service in filter(None, (plain(index) if index else None, urllib.parse.urlsplit(plain(url)).netloc)):
            if (password := self._keyring(command, service, user)) is not None:
                return Login(user, password)
        return None

    def _index(self, url: str) -> str | None:
        """The configured index on the same host whose path is nearest."""
        wanted = urllib.parse.urlsplit(plain(url))
        found = [
            (len(os.path.commonpath([wanted.path or "/", urllib.parse.urlsplit(index).path or "/"])), -place, index)
            for place, index in enumerate(self.indexes)
            if urllib.parse.urlsplit(plain(index)).netloc == wanted.netloc
        ]
        return max(found)[2] if found else None

    def _netrc(self, url: str) -> Login | None:
        home = Path(self.environment.get("HOME", "/nonexistent"))
        named = self.environment.get("NETRC")
        host = urllib.parse.urlsplit(url).hostname or ""
        for path in (Path(named),) if named else (home / ".netrc", home / "_netrc"):
            try:
                found = netrc.netrc(path.expanduser()).authenticators(host)
            except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
                continue
            if found:
                return Login(found[0] or found[1] or "", found[2] or "")
        return None

    def _keyring(self, command: str, service: str, user: str) -> str | None:
        try:
            done = child.run([command, "get", service, user], env=self.environment, timeout_s=_KEYRING_S)
        except OSError:
            return None
        # A warning may come before it; the password is what is printed last.
        return done.lines[-1] if done.code == 0 and not done.timed_out and done.lines else None


def parts_of(url: str) -> tuple[str | None, str | None]:
    """User name and password in a URL."""
    login, sign, _ = urllib.parse.urlsplit(url).netloc.rpartition("@")
    if not sign:
        return None, None
    user, colon, password = login.partition(":")
    return urllib.parse.unquote(user), urllib.parse.unquote(password) if colon else None


def plain(url: str) -> str:
    """The URL without a login."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def with_login(url: str, login: Login | None) -> str:
    """The URL with a login in it, as one that is asked for later needs it."""
    if login is None:
        return url
    parts = urllib.parse.urlsplit(plain(url))
    words = ":".join(urllib.parse.quote(word, safe="") for word in (login.user, login.password))
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{words}@{parts.netloc}"))
