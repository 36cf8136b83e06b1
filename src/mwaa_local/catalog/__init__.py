"""Facts about Amazon MWAA as data, each with its source; typed loaders beside them.

Nothing else in the tool holds a literal AWS fact. The catalog imports nothing of ours but the exception tree.
"""

from mwaa_local.catalog.classes import (
    ContainerSize,
    CountRange,
    EnvironmentClass,
    environment_class,
    environment_classes,
)
from mwaa_local.catalog.components import (
    AIRFLOW_COMPONENTS,
    ProcessFacts,
    WebFacts,
    after_migration,
    component_processes,
    downgrade_words,
    has,
    migration_words,
    web,
)
from mwaa_local.catalog.configuration import ConfigurationRow, ForcedSection, configuration_rows, forced_sections
from mwaa_local.catalog.constraints import ConstraintPins, constraint_pins
from mwaa_local.catalog.fields import Field, fields
from mwaa_local.catalog.limits import Limits, limits
from mwaa_local.catalog.log_groups import LogType, log_types
from mwaa_local.catalog.reserved import (
    LockedOption,
    ReservedVariable,
    is_protected,
    locked_options,
    migrate_db_options,
    protected_variables,
    reserved_variables,
    service_options,
)
from mwaa_local.catalog.versions import Version, default_version, series, version, version_names

__all__ = [
    "AIRFLOW_COMPONENTS",
    "ConfigurationRow",
    "ConstraintPins",
    "ContainerSize",
    "CountRange",
    "EnvironmentClass",
    "Field",
    "ForcedSection",
    "Limits",
    "LockedOption",
    "LogType",
    "ProcessFacts",
    "ReservedVariable",
    "Version",
    "WebFacts",
    "after_migration",
    "component_processes",
    "configuration_rows",
    "constraint_pins",
    "default_version",
    "downgrade_words",
    "environment_class",
    "environment_classes",
    "fields",
    "forced_sections",
    "has",
    "is_protected",
    "limits",
    "locked_options",
    "log_types",
    "migrate_db_options",
    "migration_words",
    "protected_variables",
    "reserved_variables",
    "series",
    "service_options",
    "version",
    "version_names",
    "web",
]
