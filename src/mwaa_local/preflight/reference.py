"""The reference page, made from the rules: ``python -m mwaa_local.preflight.reference > docs/reference/rules.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Area

_INTRO = """# Rules of `mwaa-local validate`

<!-- Generated from the rules: python -m mwaa_local.preflight.reference > docs/reference/rules.md -->

Every rule has an id that never changes. `error` breaks something on MWAA, `warning` may, `info` is good to know and is
shown with `--level info`. A rule is left out with `--ignore RULE`, with `Local: {Validate: {Ignore: [RULE]}}` in
`mwaa.yaml`, or for one line by a comment `# mwaa: ignore[RULE]` on it (for a whole file: on a comment line among its
first five). Prefixes work everywhere: `DAG` means every rule about DAGs. `mwaa-local validate --explain RULE` shows
one entry of this page.

| Exit code | Meaning |
|---|---|
| 0 | clean, or warnings only |
| 1 | errors found |
| 2 | no errors, but something could not be checked (what a switch left out does not count), or the call was wrong |
"""


def _page() -> Iterator[str]:
    yield _INTRO
    for area in Area:
        rules = [rule for rule in registry.rules() if rule.area is area]
        if not rules:
            continue
        yield f"## {area.value.capitalize()}\n"
        for rule in rules:
            yield f"### {rule.id} {rule.title}\n"
            yield f"*{rule.severity.value}* · source: {rule.source}\n"
            yield f"**Why MWAA minds:** {rule.why}.\n"
            yield f"**Fix:** {rule.fix}.\n"


def page() -> str:
    """The whole page."""
    return "\n".join(_page())


if __name__ == "__main__":
    sys.stdout.write(page())
