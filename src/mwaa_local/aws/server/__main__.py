"""``python -m mwaa_local.aws.server``: see :mod:`mwaa_local.aws.server.endpoint`."""

import sys

from mwaa_local.aws.server.endpoint import main

if __name__ == "__main__":
    sys.exit(main())
