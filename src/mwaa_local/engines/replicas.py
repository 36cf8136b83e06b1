"""Which workers an environment has once it shall have more or fewer of them; the same in every engine.

The first worker stays for ever: what asks a worker asks it. A worker with a running task is never taken away (spec/04
section 2): it stays until somebody asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mwaa_local.engines.names import number_of, worker_name
from mwaa_local.errors import EngineError


def workers(wanted: int, present: Iterable[str], busy: Callable[[], Collection[str]]) -> list[str]:
    """The names of the workers that shall run.

    Args:
        wanted: How many, at least one.
        present: Those that run now.
        busy: Gives those with running tasks; asked only if some shall go.

    Returns:
        In the order of their numbers; more than ``wanted`` where too many are busy, or the database does not say.
    """
    numbers = sorted({1, *map(number_of, present)})
    while len(numbers) < wanted:
        numbers.append(numbers[-1] + 1)  # as Compose counts: a number that was given up is not given again
    surplus = len(numbers) - wanted
    if surplus:
        try:
            stay = {1, *map(number_of, busy())}
        except EngineError:
            stay = set(numbers)  # nobody knows what they do
        going = [number for number in reversed(numbers) if number not in stay][:surplus]
        numbers = [number for number in numbers if number not in going]
    return [worker_name(number) for number in numbers]
