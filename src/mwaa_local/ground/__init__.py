"""What the rest stands on and what knows nothing of MWAA.

``atomic``
    Files written whole or not at all, kept by the disk or refused by name: everything that keeps state goes through it.
``damage``
    What was kept and cannot be read any more, as data.
``disk``
    The operating system's calls for that, where tests make them fail.
``locks``
    Exclusive locks that die with their process.
``lineage``
    Who ends with whom: parents, orphans, subreapers.
``processes``
    Facts about running processes: trees, listeners, memory.

One more of these is a module here, with a line above. It may import ``errors`` and nothing else of the tool.
"""
