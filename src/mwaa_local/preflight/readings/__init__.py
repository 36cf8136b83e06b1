"""What rules read, each file once: the definition, shell text, plugins, DAG files."""
