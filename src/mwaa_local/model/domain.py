"""The custom domain of the web server: the option ``webserver.base_url`` as MWAA takes it (spec/01 section 9)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from mwaa_local.catalog import limits
from mwaa_local.errors import DefinitionError

OPTION = "webserver.base_url"

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check(text: str, place: str) -> None:
    """Refuse what MWAA refuses as a custom domain; an empty text is none.

    Raises:
        DefinitionError: it has a scheme, a path or a port, is too long, or is no fully qualified name.
    """
    if not text:
        return
    name = (urlsplit(text if "://" in text else f"//{text}").hostname or "") if _split(text) else ""
    fault = _fault(text)
    if fault:
        usable = bool(name) and not _fault(name)
        raise DefinitionError(
            f"{OPTION} {text!r} must be a bare host name",
            where=place,
            why=f"{fault}; MWAA takes a fully qualified name without scheme, port or path and puts https:// before it",
            hint=f"write {name}" if usable else "write a name such as airflow.example.com",
        )


def check_mode(text: str, mode: str | None, place: str) -> None:
    """Refuse a custom domain of a web server that is not private; without a mode MWAA's is.

    Raises:
        DefinitionError: the access mode is another one.
    """
    if text and mode not in (None, "PRIVATE_ONLY"):
        raise DefinitionError(
            f"{OPTION} works with a private web server only, not with WebserverAccessMode {mode}",
            where=place,
            code="domain",
            fields=("WebserverAccessMode", f"AirflowConfigurationOptions.{OPTION}"),
            why="MWAA has custom domains for private web servers without internet access",
            hint="set WebserverAccessMode: PRIVATE_ONLY, or remove the option",
        )


def _split(text: str) -> bool:
    try:
        urlsplit(text if "://" in text else f"//{text}")
    except ValueError:
        return False
    return True


def _fault(text: str) -> str:
    """What is wrong with a name; empty for nothing."""
    if "://" in text:
        return "it has a scheme"
    if "/" in text or "?" in text or "#" in text:
        return "it has a path"
    if ":" in text or "@" in text:
        return "it has a port or a user"
    if len(text) > limits().custom_domain_characters:
        return f"it is longer than {limits().custom_domain_characters} characters"
    labels = text.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return "it is no fully qualified name"
    return ""
