"""``python -m mwaa_local``: the same as the command ``mwaa-local``."""

from mwaa_local.cli import main

main()
