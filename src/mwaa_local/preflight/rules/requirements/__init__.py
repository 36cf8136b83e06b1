"""Rules about ``requirements.txt`` (``REQ001`` and on)."""
