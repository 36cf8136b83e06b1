"""What would go wrong on MWAA, said before anything is uploaded.

How to add a rule
-----------------
One module per rule under ``preflight/rules/<area>/``, found by being there (no list to edit). It holds one value::

    RULE = Rule(
        id="REQ001",                       # area prefix + three digits; never reused, never renumbered
        severity=Severity.ERROR,           # of a hit that does not say otherwise
        area=Area.REQUIREMENTS,
        title="Conflict with the constraints",
        why="What MWAA does and why it minds, in a sentence or two",
        source="spec/04 section 12.1",
        fix="What to write instead",
        check=check,                       # (Workspace) -> Iterable[Hit | Unchecked]
    )

``check`` is a generator. It yields

* ``Hit(message, file, line)``: one finding. ``excerpt`` is read from the file when it is left out; ``fix`` and
  ``severity`` replace the rule's own for this hit; ``claims`` (see ``Hit``) stops a more general rule from saying the
  same again.
* ``Unchecked(what, why, hint)``: something that could not be looked at (offline, no interpreter). It is part of the
  report and, when nothing worse was found, makes the exit code 2. Every wait on the network or a child process must be
  bounded, and end as an ``Unchecked`` that names it.

What rules read comes from the ``Workspace``: ``workspace.definition`` (fields with their lines, ``issues``, the
environment), ``workspace.environment``, ``workspace.version``, ``workspace.requirements`` (a ``TextFile``),
``workspace.startup``, ``workspace.plugins``, ``workspace.dags``, ``workspace.imports`` (what happened when everything
was imported in the real package set). Each is read once, on first use, whatever number of rules asks, and from any
thread. Rules run in threads, so ``check`` must not keep state of its own. A rule's module is imported on every run:
keep heavy imports inside ``check``.

``select``/``ignore``, inline ``# mwaa: ignore[RULE]`` comments, ``--target`` (two workspaces, compared), the output
formats and the reference page know about a new rule without further work. Every rule has a test that finds it and one
that does not, in ``tests/unit/test_preflight_*.py``, and its fault in the broken workspace of
``tests/e2e/test_validate_broken.py``.

Public entry points: ``run.validate(...) -> Report``, ``registry.rules()``, ``output.render(report, format)``.
"""
