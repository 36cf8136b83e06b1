"""Components as containers.

``engine`` is the engine; ``client`` runs the docker program, ``plan`` writes Compose's files, ``state`` reads
containers, ``waiting`` waits for them. What both engines need lies one folder up.
"""
