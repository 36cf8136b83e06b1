"""How pip is run, to install and to give a verdict alike.

Addresses travel as variables: they may hold passwords, and other users of the machine can read commands.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mwaa_local.packages import child
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.inputs import Inputs
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.uv_tool import Uv

_RETRIES = 2
# The first pip that knows --uploaded-prior-to.
_DATES_SINCE = 26


def install_words(
    prefix: Path, reading: Reading, inputs: Inputs, settings: PipSettings, cut_off: date | None
) -> list[str | Path]:
    """The words of ``pip install`` for a requirements file.

    Args:
        prefix: The package set whose pip it is.
        reading: The file.
        inputs: The file as pip gets it.
        settings: pip's configuration.
        cut_off: Newest upload date; one more than pip itself can respect is left out.
    """
    words = child.python(prefix / "bin" / "python", "-m", "pip", "install")
    words += [word for path in inputs.requirements for word in ("-r", str(path))]
    words += [word for path in inputs.constraints for word in ("-c", str(path))]
    words += ["--pre"] if reading.pre or settings.pre else []
    words += ["--prefer-binary"] if reading.prefer_binary else []
    words += ["--no-deps"] if settings.no_deps else []
    words += ["--upgrade"] if settings.upgrade else []
    words += ["--require-hashes"] if reading.require_hashes else []
    words += [word for value in reading.no_binary for word in ("--no-binary", value)]
    words += [word for value in reading.only_binary for word in ("--only-binary", value)]
    if cut_off is not None and _major(prefix) >= _DATES_SINCE:
        end = datetime(cut_off.year, cut_off.month, cut_off.day, tzinfo=UTC) + timedelta(days=1)
        words += ["--uploaded-prior-to", end.strftime("%Y-%m-%dT%H:%M:%SZ")]
    return words


def _major(prefix: Path) -> int:
    for folder in prefix.glob("lib/python*/site-packages/pip-*.dist-info"):
        major = folder.name.removeprefix("pip-").split(".")[0]
        return int(major) if major.isdigit() else 0
    return 0


def variables(uv: Uv, indexes: Indexes) -> dict[str, str]:
    """The environment of a pip run; configuration files of the user have no further say.

    Args:
        uv: The merged variables of the component, the cache, and pip's configuration.
        indexes: Where packages come from.
    """
    settings = uv.settings
    env = uv.variables(None) | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": str(uv.cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_EXTRA_INDEX_URL": " ".join(indexes.extra),
        "PIP_FIND_LINKS": " ".join(indexes.find_links),
        "PIP_TRUSTED_HOST": " ".join(indexes.trusted_hosts),
        "PIP_CERT": settings.cert or "",
        "PIP_DEFAULT_TIMEOUT": str(int(settings.timeout)) if settings.timeout else "",
        "PIP_RETRIES": str(settings.retries) if settings.retries is not None else str(_RETRIES),
        "PIP_INDEX_URL": indexes.default or "",
        "PIP_NO_INDEX": "1" if indexes.no_index else "",
    }
    return {name: value for name, value in env.items() if value}
