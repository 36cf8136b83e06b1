"""Airflow variables and connections while files are imported: the real look-ups, with a placeholder where nothing is.

A check has not what a real environment keeps in its database and secrets. Airflow's own functions are called, so that
their signatures, defaults and errors are theirs; only "there is none" becomes a placeholder, and is noted.
"""

# As check.py: it runs on the Pythons of every Airflow version; whatever user code raises is a result.
# mypy: ignore-errors
# ruff: noqa: BLE001

import functools
import importlib
import inspect
import os

PLACEHOLDER = "mwaa-local-validate"
# Where the values are looked up, and what a caller must have asked for. Names of both major versions; the others call
# these.
LOOK_UPS = (
    ("variable", "airflow.models.variable", "Variable", "get"),
    ("variable", "airflow.sdk.definitions.variable", "Variable", "get"),
    ("connection", "airflow.models.connection", "Connection", "get_connection_from_secrets"),
    ("connection", "airflow.sdk.definitions.connection", "Connection", "get"),
    ("connection", "airflow.sdk.definitions.connection", "Connection", "async_get"),
)
# What "there is none" is called: a KeyError of Airflow 2, a code or a class of Airflow 3.
ABSENT = ("does not exist", "VARIABLE_NOT_FOUND", "CONNECTION_NOT_FOUND", "isn't defined")


def guard_values(recorder):
    """Put a placeholder behind each look-up."""
    for kind, module, owner, name in LOOK_UPS:
        found = attribute(module, owner)
        raw = inspect.getattr_static(found, name, None) if found is not None else None
        if isinstance(raw, classmethod):
            setattr(found, name, classmethod(stand_in(kind, raw.__func__, recorder)))


def stand_in(kind, real, recorder):
    """The real function; where it finds nothing, a placeholder."""
    signature = inspect.signature(real)

    def asked(words, named):
        given = signature.bind(*words, **named).arguments
        recorder.read(kind, given.get("key", given.get("conn_id", "")))
        return given

    def instead(words, named, error):
        if not absent(error):
            raise error
        given = asked(words, named)
        if kind == "variable":
            return {} if given.get("deserialize_json") else PLACEHOLDER
        return words[0](
            conn_id=given.get("conn_id"),
            conn_type="generic",
            host=PLACEHOLDER,
            login=PLACEHOLDER,
            password=PLACEHOLDER,
            schema=PLACEHOLDER,
        )

    if inspect.iscoroutinefunction(real):

        @functools.wraps(real)
        async def look_up(*words, **named):
            try:
                found = await real(*words, **named)
            except Exception as error:
                return instead(words, named, error)
            asked(words, named)
            return found

    else:

        @functools.wraps(real)
        def look_up(*words, **named):
            try:
                found = real(*words, **named)
            except Exception as error:
                return instead(words, named, error)
            asked(words, named)
            return found

    return look_up


def absent(error):
    """Whether an exception says that there is no such value."""
    name = type(error).__name__
    if name == "KeyError":
        return ABSENT[0] in str(error)
    if name == "AirflowNotFoundException":
        return True
    return name == "AirflowRuntimeError" and any(word in str(error) for word in ABSENT)


def attribute(module, name):
    """An attribute of a module that may not exist in this Airflow."""
    try:
        return getattr(importlib.import_module(module), name, None)
    except Exception:
        return None


class Manager:
    """What answers a file that the DAG processor of Airflow 3 parses: a fresh environment, where nothing is stored."""

    def __init__(self):
        self.variables = {}

    def send(self, request):
        from airflow.sdk.execution_time import comms

        name = type(request).__name__
        if name == "GetVariable":
            if request.key in self.variables:
                return comms.VariableResult(key=request.key, value=self.variables[request.key])
            return self.none("VARIABLE_NOT_FOUND", request.key)
        if name == "GetConnection":
            return self.none("CONNECTION_NOT_FOUND", request.conn_id)
        if name == "PutVariable":
            self.variables[request.key] = request.value
            return None
        if name == "DeleteVariable":
            return comms.OKResponse(ok=self.variables.pop(request.key, None) is not None)
        if name == "MaskSecret":
            return None
        return self.none("GENERIC_ERROR", name)

    async def asend(self, request):
        return self.send(request)

    @staticmethod
    def none(kind, key):
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        return ErrorResponse(error=ErrorType(kind), detail={"message": "%s not found" % key})  # noqa: UP031


def be_parsed():
    """Make this process one that the DAG processor started; nothing on Airflow 2, where it looks for itself."""
    try:
        from airflow.sdk.execution_time import comms, task_runner  # noqa: F401
    except ImportError:
        return
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    task_runner.SUPERVISOR_COMMS = Manager()


def be_stored():
    """Make this process the DAG processor's own again, which has the database."""
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    if hasattr(task_runner, "SUPERVISOR_COMMS"):
        del task_runner.SUPERVISOR_COMMS
