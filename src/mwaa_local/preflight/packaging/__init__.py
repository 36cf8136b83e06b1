"""``plugins.zip`` and a ``requirements.txt`` that install on MWAA without a network. ``package`` is the entry."""
