"""Reading a requirements file as MWAA's runtime and pip do, into what any resolver can be given.

Sources: spec/10 section 4.1 (MWAA's own steps), spec/07 B2 and spec/04 section 12 (what users write), pip's own
documentation of the file format.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.packages import constraints, indexes, lines
from mwaa_local.packages.constraints import ConstraintFinder, ConstraintSource
from mwaa_local.packages.entries import Entry, parse_entry
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.paths import from_url, is_url, locate, redact, shown
from mwaa_local.packages.pip_settings import PipSettings


@dataclass(frozen=True)
class ConstraintPart:
    """One constraint file as it takes part.

    Attributes:
        source: Where it is from.
        lines: What the resolver gets.
        pins: Its exact pins, canonical name to version.
        file: The file whose line names it; empty where no line does.
        line: That line.
        foreign: What it is for where that is not the environment: ``Airflow 2.8.1``; empty otherwise.
    """

    source: ConstraintSource
    lines: tuple[str, ...]
    pins: Mapping[str, str]
    file: str = ""
    line: int = 0
    foreign: str = ""


@dataclass(frozen=True)
class Reading:
    """A requirements file, understood.

    Attributes:
        file: The real file.
        shown: The file as the user knows it.
        entries: Requirements of the file and of those it includes.
        parts: Constraints: essential pins, then the user's files, then the injected one.
        injected: MWAA adds its own constraint file, because the text names none.
        indexes: Where packages may come from.
        messages: Lines MWAA and pip print while reading.
        notes: What the user should know besides: sources of constraints, what cannot be had.
    """

    file: Path
    shown: str
    entries: tuple[Entry, ...] = ()
    parts: tuple[ConstraintPart, ...] = ()
    injected: bool = False
    indexes: Indexes = field(default_factory=Indexes)
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    prefer_binary: bool = False
    pre: bool = False
    require_hashes: bool = False
    messages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The constraint source in words."""
        return "; ".join(part.source.label for part in self.parts[1:]) or "none besides the essential pins"

    @property
    def constrained(self) -> bool:
        """Whether anything beside the essential pins holds versions: an empty file does not."""
        return any(part.lines for part in self.parts[1:])

    @property
    def foreign(self) -> ConstraintPart | None:
        """The first constraint file of another Airflow or Python."""
        return next((part for part in self.parts if part.foreign), None)

    def pin(self, name: str) -> tuple[str, str] | None:
        """The first exact pin of a package and where it is from."""
        for part in self.parts:
            if version := part.pins.get(canonicalize_name(name)):
                return version, part.source.label
        return None


def read(
    file: Path,
    *,
    version: catalog.Version,
    environment: Mapping[str, str],
    path_map: Mapping[str, Path],
    finder: ConstraintFinder,
    settings: PipSettings,
) -> Reading:
    """Read a requirements file.

    Args:
        file: The file.
        version: Airflow's version.
        environment: Variables for ``${VAR}``: the merged ones of spec/10 section 2.2.
        path_map: Paths of MWAA's container to where they really are.
        finder: Finds constraint files.
        settings: pip's configuration.

    Raises:
        UnmetRequirementsError: a file is missing, a line is one pip refuses, or a constraint file cannot be had.
    """
    reader = _Reader(version, environment, path_map, finder, settings)
    name = shown(file, path_map)
    state = reader.state = Reading(
        file,
        name,
        indexes=indexes.from_settings(settings),
        no_binary=settings.no_binary,
        only_binary=settings.only_binary,
        pre=settings.pre,
        require_hashes=settings.require_hashes,
    )
    reader.add_part(constraints.essential(version, environment, path_map))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnmetRequirementsError(
            "The requirements file cannot be read", kind="syntax", where=str(file), why=str(error)
        ) from error
    messages: list[str] = []
    try:
        text = lines.decode(data)
    except lines.UNREADABLE as error:
        # MWAA forces its constraints when it cannot scan the file (spec/10 section 4.1); pip then refuses the file.
        raise UnmetRequirementsError(
            "The requirements file cannot be decoded",
            kind="syntax",
            where=name,
            why=f"Unable to scan requirements file: {error}",
            hint="save it as UTF-8, or name its encoding in the first line: # -*- coding: latin-1 -*-",
        ) from error
    limits = catalog.limits()
    injected = not lines.has_constraints(text) and version.matches(f">={limits.constraint_injected_from}")
    if injected:
        messages += [limits.constraint_warning, limits.constraint_forced]
    reader.file(text, name, file.parent, ())
    for path in settings.constraints:
        reader.constraint(path, Path.cwd(), (name, 0), ())
    _refuse_unusable(reader.state, version)
    if injected:
        reader.add_part(finder.image_file(version))
    state = reader.state
    usable = indexes.usable(state.indexes, path_map)
    return replace(
        state,
        injected=injected,
        indexes=usable,
        require_hashes=state.require_hashes or any(entry.hashes for entry in state.entries),
        messages=(*messages, *usable.notes, *state.messages),
    )


def _refuse_unusable(reading: Reading, version: catalog.Version) -> None:
    """Lines that name a file or folder pip cannot take, all at once: a freeze of another machine has dozens.

    Raises:
        UnmetRequirementsError: there is one; pip ends before it installs anything.
    """
    bad = [entry for entry in reading.entries if entry.unusable and entry.applies(version.python_patch)]
    if not bad:
        return
    home = catalog.limits().home
    reasons = dict.fromkeys(entry.unusable for entry in bad)
    raise UnmetRequirementsError(
        f"{'A line names' if len(bad) == 1 else f'{len(bad)} lines name'} what pip cannot take",
        kind="syntax",
        where=", ".join(dict.fromkeys(f"{entry.file}, line {entry.line}" for entry in bad)),
        why="; ".join(reasons),
        hint=f"write name==version instead, or ship a wheel in plugins.zip and name its path under {home}/plugins",
        conflicts=[Conflict(entry.file, entry.line, redact(entry.text), source=entry.unusable) for entry in bad],
    )


@dataclass
class _Reader:
    version: catalog.Version
    environment: Mapping[str, str]
    path_map: Mapping[str, Path]
    finder: ConstraintFinder
    settings: PipSettings
    state: Reading = field(init=False)

    def update(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]

    def file(self, text: str, name: str, folder: Path, above: tuple[str, ...]) -> None:
        """All lines of a requirements file."""
        for line in self._lines(text, name):
            options = line.options
            if line.text or options.editables:
                entry = self._entry(line, name)
                self.update(entries=(*self.state.entries, entry))
                continue
            self._options(line, folder)
            for target in options.requirements:
                self._include(target, folder, (name, line.number), above)
            for target in options.constraints:
                self.constraint(target, folder, (name, line.number), above)

    def _entry(self, line: lines.Line, name: str) -> Entry:
        try:
            return parse_entry(line, name, self.path_map, catalog.limits().home)
        except lines.LineError as error:
            raise UnmetRequirementsError(
                f"Invalid requirement: {redact(line.text or f'-e {line.options.editables[0]}')!r}",
                kind="syntax",
                where=f"{name}, line {line.number}",
                why=redact(str(error.args[0]).partition("\n")[0]),
                hint="write it as name==version, one in a line",
            ) from error

    def _options(self, line: lines.Line, folder: Path) -> None:
        options, found = line.options, self.state.indexes
        if options.no_index:
            found = found.without_index()
        if options.index_url:
            found = found.with_index(options.index_url)
        if options.extra_index_urls:
            found = found.with_extra(options.extra_index_urls)
        for link in options.find_links[:1]:  # pip takes the first of a line
            beside = folder / link
            found = found.with_links(str(beside) if not is_url(link) and beside.exists() else self._absolute(link))
        self.update(
            indexes=found.with_trust(options.trusted_hosts),
            no_binary=(*self.state.no_binary, *options.no_binary),
            only_binary=(*self.state.only_binary, *options.only_binary),
            prefer_binary=self.state.prefer_binary or options.prefer_binary,
            pre=self.state.pre or options.pre,
            require_hashes=self.state.require_hashes or options.require_hashes,
        )

    def _absolute(self, link: str) -> str:
        """A relative path counts from pip's working folder, the home folder on MWAA (spec/10 section 1.1)."""
        if is_url(link) or link.startswith("/"):
            return link
        return str(locate(posixpath.normpath(f"{catalog.limits().home}/{link}"), self.path_map))

    def _include(self, target: str, folder: Path, at: tuple[str, int], above: tuple[str, ...]) -> None:
        text, name, beneath = self._open(target, folder, at)
        if name in above:
            raise UnmetRequirementsError(
                f"{name} includes itself", kind="syntax", where=f"{at[0]}, line {at[1]}", why="a circle of -r lines"
            )
        self.file(text, name, beneath, (*above, at[0], name))

    def constraint(self, target: str, folder: Path, at: tuple[str, int], above: tuple[str, ...]) -> None:
        """One ``-c`` line."""
        own = f"{catalog.limits().home}/{packaging_facts().constraints_file}"
        if target == own:
            self.add_part(self.finder.image_file(self.version))
            return
        if is_url(target) and not target.lower().startswith("file:"):
            try:
                source = self.finder.for_url(target)
            except UnmetRequirementsError as error:
                error.where = f"{at[0]}, line {at[1]}" + (f": {error.where}" if error.where else "")
                if foreign_to(self.version, target):
                    error.hint = (
                        f"name the constraints of Airflow {self.version.airflow} there, which is what the environment "
                        "has: `mwaa-local validate requirements --fix` rewrites the line and the versions"
                    )
                raise
        else:
            text, name, _ = self._open(target, folder, at)
            source = ConstraintSource("file", name, text)
        foreign = foreign_to(self.version, target)
        if foreign:
            note = (
                f"{at[0]}, line {at[1]}: constraints of {foreign}; the environment has Airflow "
                f"{self.version.airflow} and Python {self.version.python}"
            )
            source = replace(source, notes=(note, *source.notes))
        self.add_part(source, at, foreign)

    def add_part(self, source: ConstraintSource, at: tuple[str, int] = ("", 0), foreign: str = "") -> None:
        """Take a constraint file in: pins go straight through, other lines are checked."""
        kept: list[str] = []
        for line in self._lines(source.text, source.label):
            if line.text:
                hashes = "".join(f" --hash={value}" for value in line.options.hashes)
                kept.append(line.text + hashes)
        part = ConstraintPart(source, tuple(kept), constraints.pins("\n".join(kept)), *at, foreign)
        self.update(parts=(*self.state.parts, part), notes=(*self.state.notes, *source.notes))

    def _open(self, target: str, folder: Path, at: tuple[str, int]) -> tuple[str, str, Path]:
        if is_url(target) and not target.lower().startswith("file:"):
            source = self.finder.for_url(target)
            return source.text, source.label, folder
        plain = from_url(target) if is_url(target) else target
        path = locate(plain, self.path_map) if plain.startswith("/") else folder / plain
        try:
            return lines.decode(path.read_bytes()), shown(path, self.path_map), path.parent
        except (OSError, *lines.UNREADABLE) as error:
            raise UnmetRequirementsError(
                f"Could not open requirements file: {target}",
                kind="syntax",
                where=f"{at[0]}, line {at[1]}",
                why=error.strerror or str(error) if isinstance(error, OSError) else str(error),
                hint=self._opening(plain, error),
            ) from error

    def _opening(self, target: str, error: Exception) -> str:
        """What helps when a file that a line names cannot be read; never what the line does already."""
        if not isinstance(error, OSError):
            return "save it as UTF-8"
        home = catalog.limits().home
        for name, where in (("dags", "the DAGs folder of the bucket"), ("plugins", "plugins.zip")):
            inside = target.removeprefix(f"{home}/{name}/")
            if inside != target:
                return f"put the file at {name}/{inside} (on MWAA: in {where}), or name one that is there"
        return f"ship it in the DAGs folder or in plugins.zip, and name its path under {home}/dags or {home}/plugins"

    def _lines(self, text: str, name: str) -> Iterable[lines.Line]:
        try:
            yield from lines.lines(text, self.environment)
        except lines.LineError as error:
            raise UnmetRequirementsError(
                "pip does not know this line",
                kind="syntax",
                where=f"{name}, line {error.args[1]}" if len(error.args) > 1 else name,
                why=str(error.args[0]),
                hint="only options of pip's requirements file format may stand here",
            ) from error


def undated(reading: Reading) -> Reading:
    """The reading without the date that stands in for pins, for a file that asks for what is newer."""
    parts = (replace(part, source=replace(part.source, cut_off=None)) for part in reading.parts)
    return replace(reading, parts=tuple(parts))


def foreign_to(version: catalog.Version, target: str) -> str:
    """What a constraint file is for by its name, where that is not an environment's version; empty otherwise."""
    airflow, python = constraints.versions_of(target)
    wrong = [f"Airflow {airflow}"] if airflow and airflow != version.airflow else []
    wrong += [f"Python {python}"] if python and python != version.python else []
    return " and ".join(wrong)


def names(entries: Sequence[Entry]) -> frozenset[str]:
    """Canonical names of entries that have one."""
    return frozenset(entry.name for entry in entries if entry.name)
