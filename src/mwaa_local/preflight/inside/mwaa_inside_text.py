"""Reading tracebacks, which Airflow keeps as text."""

# As check.py: it runs on the Pythons of every Airflow version.
# mypy: ignore-errors
# ruff: noqa: PTH100

import os


def places(text):
    """``[file, line]`` of every frame in a traceback's text, outermost first."""
    result = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith('File "') and '", line ' in line:
            name, _, rest = line[6:].partition('", line ')
            number = "".join(ch for ch in rest.split(",")[0] if ch.isdigit())
            if number:
                result.append([os.path.abspath(name), int(number)])
    return result


def frames(text, folders):
    """The frames of the user's own code."""
    return [place for place in places(text) if place[0].startswith(folders)]


def message(text):
    """What an exception says: its text from the line that names it on, since some explain in several lines.

    Lines of frames are indented; the line that names the exception is the first behind the last frame that is not.
    """
    lines = text.strip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    for number in range(starts[-1] + 1 if starts else 0, len(lines)):
        if lines[number].strip() and not lines[number].startswith(" "):
            return "\n".join(lines[number:]).strip()
    return lines[-1].strip() if lines else ""


def last_line(text):
    """The line of a traceback that names the exception."""
    return (message(text).splitlines() or [""])[0].strip()


def problem(text, folders, **more):
    """A traceback as it is reported."""
    told = {"text": last_line(text), "message": message(text), "traceback": text}
    all_places = places(text)
    return dict(told, frames=frames(text, folders), last=all_places[-1] if all_places else None, **more)
