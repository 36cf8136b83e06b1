"""Watches one environment's queue for messages that vanished: ``watch`` compares, ``server`` is its process."""
