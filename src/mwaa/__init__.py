"""MWAA's own module names, so that its configuration values resolve word for word (spec/10 section 2.3)."""
