"""The workflow files: ``revision`` is their state as digests, by which an engine knows what differs from what runs."""
