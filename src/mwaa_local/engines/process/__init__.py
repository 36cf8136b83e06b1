"""Components as processes of this machine.

``engine`` is the engine and ``plan`` says what shall run; a ``keeper`` process keeps it running (``component`` is one
of its children, ``keeper_client`` how the tool speaks to it). ``postgres`` makes and serves the database.
"""
