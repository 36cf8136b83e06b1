"""The one exception tree, and the shape every failure a user meets has.

A failure says what happened, where, why, and what to do next. The command line turns any ``MwaaLocalError`` into those
four lines and its exit code; nothing else in the tool prints an error.
"""

from __future__ import annotations

from typing import Any


class MwaaLocalError(Exception):
    """A foreseeable failure.

    Args:
        what: One sentence, what failed.
        where: The file (with line), component, port or address it concerns.
        why: The cause; for a child process, its last lines.
        hint: The next command or edit that helps.
    """

    exit_code = 1
    id = "error"

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.why:
            parts.append(f"why: {self.why}")
        if self.hint:
            parts.append(f"next: {self.hint}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The error for ``--json`` readers and status files."""
        return {"id": self.id, "what": self.what, "where": self.where, "why": self.why, "hint": self.hint}


class DefinitionError(MwaaLocalError):
    """``mwaa.yaml``, a flag or a variable says something MWAA or the tool does not know.

    Attributes:
        code: What is wrong with it: ``unreadable``, ``unknown``, ``value``, ``locked``, ``domain``, ``count`` or
            ``access``; empty until somebody who knows has said it.
        fields: The dotted fields it is about, the one to change first; several where they do not fit each other.
        value: What was given, where that is one value.
    """

    exit_code = 2
    id = "definition"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        why: str = "",
        hint: str = "",
        code: str = "",
        fields: tuple[str, ...] = (),
        value: Any = None,
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.code = code
        self.fields = fields
        self.value = value

    def about(self, code: str, *fields: str, value: Any = None) -> None:
        """Say what it is about, where that is not known yet: who checks a value knows no field's name."""
        self.code = self.code or code
        if not self.fields:
            self.fields, self.value = fields, value

    def as_dict(self) -> dict[str, Any]:
        """See :class:`MwaaLocalError`, with code and fields."""
        return {**super().as_dict(), "code": self.code, "fields": list(self.fields)}


class UsageError(MwaaLocalError):
    """The command was called in a way that has no meaning."""

    exit_code = 2
    id = "usage"


class RequirementsError(MwaaLocalError):
    """``requirements.txt`` cannot be resolved or installed."""

    id = "requirements"


class WorkflowFileError(MwaaLocalError):
    """``plugins.zip``, a folder of DAGs or a startup script cannot be used."""

    id = "workflow-file"


class StartupScriptError(MwaaLocalError):
    """The startup script ended in a way that MWAA treats as fatal (spec/10 section 3.3)."""

    id = "startup-script"


class EngineError(MwaaLocalError):
    """Components cannot be started, stopped or asked."""

    id = "engine"


class EndpointError(MwaaLocalError):
    """The AWS endpoint does not answer, or refuses."""

    id = "aws-endpoint"


class MachineError(MwaaLocalError):
    """This machine lacks something: a Python, disk space, a port."""

    id = "machine"
