"""Corrections to MiniStack's service modules, made right after their import, however it comes about.

MiniStack's services import each other by name, past its table of services: a correction at the table would miss those
calls. tests/contract/test_aws_admission.py holds what each is for.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from mwaa_local.aws.server import objects
from mwaa_local.aws.server.admission import Admission
from mwaa_local.catalog.aws_services import vpc_endpoint_services
from mwaa_local.ground import disk

Correction = Callable[[ModuleType], None]
_PACKAGE = "ministack.services."


def install(admission: Admission, refused: Callable[[str], None], written: Callable[[Path], None]) -> None:
    """Have MiniStack's modules corrected from here on. For the server's process, before the first service is used.

    Args:
        admission: What may be asked of them.
        refused: Told when the disk refuses something that a request is about to be answered for.
        written: Told of each file of an object.
    """
    corrections: dict[str, Correction] = {
        "s3": lambda module: _objects_are_kept_or_refused(module, refused, written),
        "ec2": _endpoint_services,
        "lambda_svc": _no_mock_responses,
        "ecs": lambda module: _tasks_ask_first(module, admission),
    }
    sys.meta_path.insert(0, _Finder({_PACKAGE + name: correct for name, correct in corrections.items()}))


def _objects_are_kept_or_refused(
    s3: ModuleType, refused: Callable[[str], None], written: Callable[[Path], None]
) -> None:
    """An object whose file cannot be written, read or removed is an error; MiniStack logs a warning and answers 200."""
    logger = s3.logger
    warn = logger.warning

    def warning(message: str, *arguments: Any, **keywords: Any) -> None:
        if message.startswith("Failed to ") and arguments:
            refused(str(arguments[-1]))
        warn(message, *arguments, **keywords)

    waiting: dict[str, Path] = {}

    def atomic_write(path: str, data: bytes | str, *, text: bool = False) -> None:
        """An object and what is said of it come to their places together: a kill leaves the old pair or the new."""
        partial = Path(path + ".tmp")
        descriptor = disk.CALLS.open(partial, disk.NEW, 0o600)
        try:
            disk.write_all(descriptor, data.encode() if isinstance(data, str) else data)
        except OSError:
            disk.CALLS.remove(partial)
            if (object_file := waiting.pop(path.removesuffix(objects.SIDE), None)) is not None:
                disk.CALLS.remove(object_file)
            raise
        finally:
            disk.CALLS.close(descriptor)
        if not text and f"{os.sep}{objects.VERSIONS}{os.sep}" not in path:
            waiting[path] = partial
            return
        if (object_file := waiting.pop(path.removesuffix(objects.SIDE), None)) is not None:
            disk.CALLS.replace(object_file, Path(path.removesuffix(objects.SIDE)))
            written(Path(path.removesuffix(objects.SIDE)))
        disk.CALLS.replace(partial, Path(path))
        written(Path(path))

    logger.warning = warning
    s3._atomic_write = atomic_write  # type: ignore[attr-defined]


def _endpoint_services(ec2: ModuleType) -> None:
    """``DescribeVpcEndpointServices`` lists what ``CreateVpcEndpoint`` takes, MWAA's own services among it."""
    ec2._VPCE_GATEWAY_SERVICES, ec2._VPCE_INTERFACE_SERVICES = vpc_endpoint_services()  # type: ignore[attr-defined]


def _no_mock_responses(functions: ModuleType) -> None:
    """A Lambda function that cannot run is an error of the invocation; MiniStack answers 200 "Mock response"."""
    dispatch = functions._execute_function_dispatch

    def execute(func: dict[str, Any], config: Mapping[str, Any], *arguments: Any) -> Any:
        result = dispatch(func, config, *arguments)
        body = result.get("body") if isinstance(result, dict) else None
        text = str(body.get("body", "")) if isinstance(body, dict) else ""
        if not text.startswith("Mock response"):
            return result
        what = config.get("Runtime") or config.get("PackageType", "")
        return {
            "error": True,
            "body": {
                "errorType": "Runtime.Unsupported",
                "errorMessage": f"The local AWS endpoint cannot run this function ({what}):"
                f" {text.removeprefix('Mock response').strip(' -')}."
                " It runs Python and Node.js functions from archives.",
            },
            "log": "",
        }

    functions._execute_function_dispatch = execute  # type: ignore[attr-defined]


def _tasks_ask_first(ecs: ModuleType, admission: Admission) -> None:
    """Step Functions and schedules start ECS tasks past the table of services: the same rule holds for them."""
    run_task = ecs._run_task

    def run(*arguments: Any, **keywords: Any) -> Any:
        refusal = admission.refusal("ecs", "/", "RunTask")
        if refusal is None:
            return run_task(*arguments, **keywords)
        content = json.dumps({"__type": refusal.code, "message": refusal.message})
        return refusal.status, {"Content-Type": "application/x-amz-json-1.1"}, content.encode()

    ecs._run_task = run  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    def __init__(self, corrections: Mapping[str, Correction]) -> None:
        self._corrections = corrections

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        correct = self._corrections.get(fullname)
        if correct is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, correct)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, correct: Correction) -> None:
        self._loader = loader
        self._correct = correct

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._correct(module)
