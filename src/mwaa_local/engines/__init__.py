"""Where components run. ``protocol`` is what an engine can, ``choose`` picks one, ``names`` are the components.

Two rooms, ``docker`` and ``process``, which never import each other; what both need lies here. A third engine is a room
beside them, a line in ``choose`` and its name in ``[tool.importlinter]``.
"""
