"""PLG017: plugins in two places that are not the same."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.plugins import PluginEntry, Plugins, is_junk
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    used, *others = workspace.plugin_sources or (None,)
    # A rule only the definition's own words settle: one that it names needs no warning against another archive.
    if used is None or used.path != workspace.environment.workflow.plugins or used.error:
        return
    for archive in others:
        if archive.error or (used.archive and not workspace.environment.workflow.plugins_choice):
            continue
        name, word = _difference(used, archive)
        if name:
            what = f"{workspace.relative(archive.path)} {word} {workspace.relative(used.path)}, which is used here"
            yield Hit(what, archive.path, excerpt=name, key=name)


def _difference(used: Plugins, archive: Plugins) -> tuple[str, str]:
    """The first file that differs, and how."""
    packed, here = _files(archive), _files(used)
    for name, entry in here.items():
        other = packed.get(name)
        if other is None:
            return name, f"lacks {name} of"
        if other.size != entry.size or other.read(5_000_000) != entry.read(5_000_000):
            return name, f"holds another {name} than"
    return next(((name, f"holds {name}, unlike") for name in packed if name not in here), ("", ""))


def _files(source: Plugins) -> dict[str, PluginEntry]:
    """What makes a difference to a DAG: modules. ``mwaa-local package`` adds wheels and constraints to an archive."""
    return {entry.name: entry for entry in source.files if entry.name.endswith(".py") and not is_junk(entry.name)}


RULE = Rule(
    id="PLG017",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="plugins.zip is not the plugins that are used here",
    why=(
        "MWAA runs what is in the archive that is uploaded; a folder that was edited after it was zipped, or another "
        "archive, is tested here and missing there. Which one is used here: the one that Local.Paths.Plugins names, "
        "else the folder if anything lies in it, else plugins.zip of the project, else plugins/plugins.zip"
    ),
    source="spec/04 section 11.1",
    fix="Build it again: `mwaa-local package`; or remove the one that is not meant",
    check=check,
)
