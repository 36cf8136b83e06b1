"""Whether a file that Airflow passes over is worth an import: it takes something from a package that knows Airflow."""

# As check.py: it runs on the Pythons of every Airflow version, without types.
# mypy: ignore-errors
# ruff: noqa: PTH100, PTH118, PTH123, PTH208, BLE001

import importlib.util
import os


def worth(modules, plugins):
    """Whether one of the modules may make DAGs: its distribution needs Airflow, or it lies in the plugins folder."""
    return not modules or any(needs_airflow(name) or holds_dags(name, plugins) for name in modules)


def needs_airflow(name):
    """Whether an installed distribution that has a module names Airflow among what it needs."""
    if name == "airflow":
        return False
    try:
        from importlib import metadata

        for distribution in metadata.packages_distributions().get(name, ()):
            for need in metadata.requires(distribution) or ():
                if need.lower().replace("_", "-").startswith("apache-airflow"):
                    return True
    except Exception:
        return False
    return False


def holds_dags(name, plugins):
    """Whether a module of the plugins folder has the words that a file with DAGs has."""
    try:
        spec = importlib.util.find_spec(name)
        places = [spec.origin] if spec.origin else []
        for folder in spec.submodule_search_locations or ():
            places += [os.path.join(folder, entry) for entry in os.listdir(folder) if entry.endswith(".py")]
        for place in places:
            if os.path.abspath(place).startswith(os.path.join(os.path.abspath(plugins), "")):
                with open(place, "rb") as stream:
                    text = stream.read().lower()
                if b"airflow" in text and b"dag" in text:
                    return True
    except Exception:
        return False
    return False
