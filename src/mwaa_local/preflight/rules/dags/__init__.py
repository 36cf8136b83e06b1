"""Rules about DAG files (``DAG001`` and on)."""
