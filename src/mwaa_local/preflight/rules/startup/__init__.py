"""Rules about the startup script (``SUP001`` and on)."""
