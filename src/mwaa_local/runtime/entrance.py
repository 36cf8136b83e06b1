"""Where a component's process enters its own view of the machine: MWAA's paths, its own host name, its parent."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from mwaa_local.ground import lineage
from mwaa_local.runtime import files, host_tools, interpreter, namespace
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.namespace import Placement
from mwaa_local.runtime.status import Status


def enter(inputs: RuntimeInputs, record: Status) -> RuntimeInputs:
    """Show the home at MWAA's path where the system allows it, and tie the process to its parent; before any thread."""
    tools = None
    if inputs.in_image:
        placement = Placement("image", inputs.home, python=interpreter.of_image(inputs.version.python))
        if inputs.home.is_dir():
            os.chdir(inputs.home)
    else:
        scratch = inputs.run_dir / "namespace"
        found = host_tools.stand_ins(inputs.container.get("PATH", ""))
        python = interpreter.behind(inputs.base_set)
        placement = namespace.enter(
            inputs.namespace, home=inputs.home, scratch=scratch, binds=files.binds(inputs), python=python, tools=found
        )
        if placement.python is None:
            tools = host_tools.link(inputs.run_dir / host_tools.FOLDER, found)
    if inputs.die_with_parent:
        lineage.die_with_parent(signal.SIGTERM)  # a change of namespace would clear an earlier wish
    record.set(namespace=placement.as_dict())
    if placement.detail:
        record.note(placement.detail)
    return replace(inputs, visible_home=placement.home, placement=placement.mode, python=placement.python, tools=tools)
