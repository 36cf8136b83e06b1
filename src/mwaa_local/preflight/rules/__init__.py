"""One rule per module; see ``mwaa_local.preflight`` for how to write one."""
