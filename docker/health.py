"""Docker's health check, in 15 ms of processor time: Docker asks each container twice a second while it starts.

    health.py                   a component: what its own supervisor found last (status.json)
    health.py PORT PATH         another part: the HTTP address 127.0.0.1:PORT answers PATH with 200

Prints one line and ends with 0 (healthy) or 1. Run with ``python -I -S``; imports nothing but what it needs. The
supervisor asks heartbeats and addresses itself; this trusts what it wrote as long as it is alive
(``mwaa_local.runtime.health.from_status``, which a test holds equal). ``python -m mwaa_local.runtime health`` asks anew.
"""

import sys

STATUS = "/usr/local/mwaa/run/status.json"
MAX_AGE_SECONDS = 45.0


def component(path: str, now: float) -> tuple[bool, str]:
    """Give health and one line about it, from a component's status file at a time in seconds since the epoch."""
    import json

    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123 - pathlib would double the time this takes
            kept = json.load(stream)
    except FileNotFoundError:
        return False, "it has not started"
    if kept["state"] in ("failed", "stopped", "draining"):
        what = (kept["error"] or {}).get("what", "")
        return False, f"{kept['state']}: {what}".rstrip(": ")
    if kept["health_at"] is None:
        phase = f" (done: {kept['phases'][-1]['name']})" if kept["phases"] else ""
        return False, f"booting{phase}"
    age = now - kept["health_at"]
    if age > MAX_AGE_SECONDS:
        return False, f"its supervisor has not answered for {age:.0f} s"
    return not kept["health"], kept["health"] or "healthy"


def address(port: int, path: str) -> tuple[bool, str]:
    """Give health and one line about it, from a plain HTTP request to this container."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.makefile("rb").read(65536).decode("utf-8", "replace")
    except OSError as error:
        return False, f"port {port}: {error}"
    first = answer.partition("\r\n")[0]
    said = answer.partition('"problem": "')[2].partition('", "')[0]
    return first.split()[1:2] == ["200"], said or f"GET {path}: {first or 'no answer'}"


def main(arguments: list[str]) -> int:
    """Ask, print the line, give the exit status."""
    if arguments:
        healthy, line = address(int(arguments[0]), arguments[1])
    else:
        import time

        healthy, line = component(STATUS, time.time())
    print(line)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
