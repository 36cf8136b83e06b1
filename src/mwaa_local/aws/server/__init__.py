"""The hosted endpoint: MiniStack in our ASGI server (``endpoint``, ``host``, ``asgi``), and what keeps its data.

``checkpoint``, ``journal``, ``statefiles`` write; ``queues``, ``logs``, ``objects``, ``sent`` are services that we keep
ourselves; ``soundness`` looks at the data of one that does not run; ``corrections`` are named patches of MiniStack,
each with a test that fails when upstream has mended it; ``admission`` is what is refused at the door.
"""
