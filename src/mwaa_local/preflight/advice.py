"""What to do about an exception that a file of the user raised: the one place that decides it."""

from __future__ import annotations

import re

# Wrong whatever a variable's or a connection's value is.
_CERTAIN = re.compile(
    r"^(ModuleNotFoundError|ImportError|NameError|UnboundLocalError|SyntaxError|IndentationError|TabError)\b"
    r"|^TypeError: .*\(\) (got an unexpected keyword argument|got multiple values|got some positional-only"
    r"|missing \d+ required|takes )"
    r"|^AttributeError: module '"
    r"|^AttributeError: type object '"
)


def certain(text: str) -> bool:
    """Whether an exception cannot come from a value that only a real environment has.

    Args:
        text: The line that names the exception.
    """
    return bool(_CERTAIN.match(text))
