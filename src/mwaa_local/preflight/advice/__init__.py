"""What to do about an exception that a file raises at its import: ``advice`` is the entry, ``facts`` what it asks."""
