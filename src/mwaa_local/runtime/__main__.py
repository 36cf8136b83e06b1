"""An image's entry point.

``python -m mwaa_local.runtime COMPONENT | health | exec COMPONENT -- COMMAND ... | packages COMPONENT``
"""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> int:
    """Run one command of the runtime; its exit code."""
    variables = dict(os.environ)
    if words == ["health"]:
        from mwaa_local.runtime import health

        answer = health.check(variables)
        print(answer.detail)
        return 0 if answer.ok else 1
    if len(words) > 2 and words[0] == "exec":
        from mwaa_local.errors import MwaaLocalError
        from mwaa_local.runtime import execute

        try:
            return execute.run(words[1], words[3:] if words[2] == "--" else words[2:], variables)
        except MwaaLocalError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    if len(words) == 2 and words[0] == "packages":
        import json

        from mwaa_local.errors import MwaaLocalError
        from mwaa_local.runtime import ahead

        try:
            found = ahead.verdict(words[1], variables, lambda line: print(line, file=sys.stderr, flush=True))
            print(json.dumps(found))
        except MwaaLocalError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        return 0
    if len(words) != 1:
        # MWAA's own words, its missing blank put right (spec/10 section 1.1).
        print(
            f"Invalid arguments: {words}. Please provide one argument with one of the values: ", end="", file=sys.stderr
        )
        print("scheduler, worker, webserver, migrate-db, health, exec, packages", file=sys.stderr)
        return 1
    from mwaa_local.runtime import boot

    return boot.run(words[0], variables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
