"""Rules about ``mwaa.yaml`` (``DEF001`` and on)."""
