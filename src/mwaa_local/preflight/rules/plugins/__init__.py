"""Rules about the plugins folder or archive (``PLG001`` and on)."""
