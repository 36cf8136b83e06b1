"""All that knows MiniStack from the inside: loading it, its state functions, and the corrections to it.

MiniStack 1.5.33 keeps its state in module variables of ``ministack.services.*`` and writes it on a clean shutdown
only. The other modules of this package see it through ``Host``; the exact pin of the version is what lets us reach in
here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gzip
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mwaa_local.aws.server import corrections, statefiles
from mwaa_local.aws.server.admission import Admission, Refusal, form_value, vpc_endpoint_refusal
from mwaa_local.catalog.aws_services import service_modules, storage_errors
from mwaa_local.ground.damage import Damage, DamagedError

log = logging.getLogger("mwaa_local.aws")

Response = tuple[int, dict[str, Any], Any]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]

# Variables that change what MiniStack is: a user's own must not reach ours.
_FOREIGN_PREFIXES = ("MINISTACK_", "LOCALSTACK_", "AWS_", "S3_", "LAMBDA_", "IOT_", "SFTP_")
_FOREIGN = frozenset({"AUTH", "SERVICES", "USE_SSL", "BIND_HOST", "EDGE_PORT", "CLOUDTRAIL_RECORDING", "PERSIST_STATE"})

# Actions that only read, by the first word of their names.
_READS = (
    "Get",
    "List",
    "Describe",
    "Head",
    "Filter",
    "BatchGet",
    "Lookup",
    "Query",
    "Scan",
    "Search",
    "Select",
    "Test",
    "Decode",
    # KMS and STS answer with bytes and keep none
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateMac",
    "GenerateRandom",
    "ReEncrypt",
    "Sign",
    "Verify",
    "AssumeRole",
)

REQUEST: ContextVar[Any] = ContextVar("mwaa_local_request", default=None)


def configure(state: Path, *, region: str, port: int) -> None:
    """Set the variables MiniStack reads while it is imported. For the server's entry, before ``Host``."""
    for name in [name for name in os.environ if name in _FOREIGN or name.startswith(_FOREIGN_PREFIXES)]:
        del os.environ[name]
    os.environ.update(
        {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state / "services"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state / "s3"),
            "MINISTACK_REGION": region,
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "WARNING",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # boto inside MiniStack must not look for a user's credentials or an instance's
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
    )


class Keeping(Protocol):
    """Has the disk keep what requests change; see ``Checkpoints``. Every answer is why it does not, or empty."""

    async def usable(self) -> str:
        """Whether it could keep anything now."""
        ...

    async def kept(self, service: str) -> str:
        """A service without a journal, by its state name."""
        ...


class Host:
    """MiniStack in this process.

    Args:
        changed: Called with a service's state name after a request changed it in a way no journal holds; an empty name
            means that the service is not known and any may have changed.
        admission: What may pass to MiniStack at all.
        region: The environment's own Region.
    """

    def __init__(
        self, changed: Callable[[str], None], *, admission: Admission | None = None, region: str = "us-east-1"
    ) -> None:
        self.admission = admission or Admission()
        self.region = region
        self.keeping: Keeping | None = None
        self.unsynced: set[Path] = set()
        if not self.admission.containers:
            # Every service that would start a container imports docker-py first; without it, it keeps records.
            sys.modules["docker"] = None  # type: ignore[assignment]
        from ministack import app
        from ministack.core import persistence, responses, router

        self.app: Any = app
        self.persistence: Any = persistence
        self.responses: Any = responses
        self._changed = changed
        self._state_names = {
            config["module"]: config.get("state_key", config["module"]) for config in app.SERVICE_REGISTRY.values()
        }
        # MiniStack answers this by loading all of botocore's models, for seconds, on its event loop. A signed request
        # names a service of AWS; S3 alone has paths without a sign of the service.
        router._is_aws_service_name = lambda name: not name.startswith("s3")
        # Only for the protocol's name it would import botocore's clients, a second and 20 MB at the first request.
        responses._service_model = _service_model
        # A host with dots (127.0.0.1) made it import API Gateway to ask for custom domains, at the first request of
        # all.
        custom_domain = app._resolve_custom_domain_request
        app._resolve_custom_domain_request = lambda host, path: (
            custom_domain(host, path) if "ministack.services.apigateway_v1" in sys.modules else None
        )
        app.SERVICE_HANDLERS = _Handlers(self, app.SERVICE_HANDLERS)
        # Some paths reach a service's module past the table.
        module = app._get_module
        app._get_module = lambda name: _Refused(self, module, name) if self._module_refused(name) else module(name)
        corrections.install(self.admission, self.refused, self.written)

    def module(self, name: str) -> Any:
        """A service module, imported as MiniStack does."""
        return self.app._get_module(name)

    def refusal(
        self, service: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Refusal | None:
        """Why a request does not reach MiniStack; nothing when it does."""
        action = action_of(headers, body, query)
        refusal = self.admission.refusal(service, path, action)
        if refusal is None and service == "ec2" and action == "CreateVpcEndpoint":
            return vpc_endpoint_refusal(self.responses.get_region(), form_value(body, query, "ServiceName"))
        return refusal

    def _module_refused(self, name: str) -> bool:
        service = service_modules().get(name)
        return service is not None and self.admission.refusal(service, "/", "") is not None

    def start(self) -> None:
        """What MiniStack does when its server starts, without containers, scripts, IoT and SFTP."""
        self.app._MAIN_LOOP = asyncio.get_running_loop()
        asyncio.get_running_loop().set_default_executor(
            concurrent.futures.ThreadPoolExecutor(max_workers=32, thread_name_prefix="aws-worker")
        )
        self._slim_object_versions()
        self._load()
        self.start_tickers()

    def _load(self) -> None:
        """Take up every service's state file; MiniStack itself goes on without one that it cannot read.

        Raises:
            DamagedError: A state file is not what its service wrote.
        """
        damage = []
        for name, module in self.app._state_map.items():
            path = Path(self.persistence.STATE_DIR) / f"{name}.json"
            if not path.exists():
                continue
            state = self.persistence.load_state(name)
            try:
                if state is None:
                    raise ValueError("of a newer format, or no state")
                if state:
                    self.module(module).load_persisted_state(state)
            except Exception as error:  # noqa: BLE001 - a service's own loader may fail in any way
                damage.append(Damage(path, f"cannot be taken up: {type(error).__name__}: {error}"))
        if damage:
            raise DamagedError(damage)

    def start_tickers(self) -> None:
        """Start the clocks of EventBridge rules and schedules once something has loaded these services."""
        for name in ("eventbridge", "scheduler"):
            module = sys.modules.get(f"ministack.services.{name}")
            if module is not None:
                module.start_scheduler()

    def stop(self) -> None:
        """End what services may have started outside this process."""
        if sys.modules.get("docker") is not None:
            self.app._stop_docker_containers()

    def state_functions(self) -> dict[str, Callable[[], Any]]:
        """State name to the function that returns the state, for all loaded services."""
        return dict(self.app._build_persistence_save_dict())

    def encode_state(self, service: str, state: Any, extra: Mapping[str, Any]) -> bytes:
        """A state file's content in MiniStack's own format, with more top-level members that it ignores."""
        payload = json.dumps(state, default=self.persistence._json_default).encode()
        return statefiles.document(payload, {**extra, "__ministack_format__": self._format(service)})

    def _format(self, service: str) -> int:
        return int(self.persistence._state_format_version(service))

    def in_scope(self, account: str, region: str) -> None:
        """Make what follows in this context act for an account and region."""
        self.responses.set_request_account_id(account)
        self.responses.set_request_region(region)

    def loaded_services(self) -> list[str]:
        """Names of the services in use since the start."""
        return sorted(self.app._loaded_modules)

    def changes(self, method: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> bool:
        """Whether a request may change what is kept. Handing out a message is no change that anyone relies on."""
        if method in ("GET", "HEAD", "OPTIONS"):
            return False
        action = action_of(headers, body, query)
        return action != "ReceiveMessage" and not action.startswith(_READS)

    async def handled(
        self, service: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> str:
        """Have the disk keep what an answered request changed.

        Returns:
            Why it does not; empty if it does.
        """
        if service in ("events", "scheduler"):
            self.start_tickers()
        request = REQUEST.get()
        if request is not None and request.refused:
            return str(request.refused)
        if self.keeping is None:
            return ""
        action = action_of(headers, body, query)
        module = self.app.SERVICE_REGISTRY[service]["module"]
        name = self._state_names[module]
        if module == "sqs" or (
            module == "cloudwatch_logs" and action in ("PutLogEvents", "CreateLogGroup", "CreateLogStream")
        ):
            return ""  # in their journals, or ``refused`` had said so
        if module == "s3" and len(path.strip("/").partition("/")[2]) and request is not None:
            return ""  # an object and all that is said of it lies in files of its own, which were written
        if action == "PutMetricData" or path.endswith("/invocations"):
            self._changed(name)  # samples come all the time, and a call of a function changes other services
            return ""
        return await self.keeping.kept(name)

    def written(self, path: Path) -> None:
        """Note a file that the disk is still to be asked to keep; see ``Checkpoints``."""
        self.unsynced.add(path)

    def refused(self, why: str) -> None:
        """Note that the disk refused what the request at hand changed or asked for: its answer is an error."""
        request = REQUEST.get()
        if request is not None:
            request.refused = why

    def _slim_object_versions(self) -> None:
        """Keep the bytes of stored object versions on disk only: MiniStack also holds each in memory, for ever."""
        s3 = self.module("s3")
        persist = s3._persist_object

        def persist_object(bucket: str, key: str, obj: Any) -> None:
            persist(bucket, key, obj)
            versions = s3._object_versions.get((bucket, key)) or []
            current = obj.get("version_id") if isinstance(obj, dict) else None
            for version in versions:
                if version.get("data") is None:
                    continue
                if version["version_id"] == (current or "null"):
                    path = s3._object_disk_path(bucket, key)
                else:
                    path = s3._version_disk_path(bucket, key, version["version_id"])
                if path and Path(path).is_file() and Path(path).stat().st_size == version["size"]:
                    version["data"] = None

        s3._persist_object = persist_object


class _Handlers(dict[str, Handler]):
    """MiniStack's table of services: each call is observed, and an absent service answers as an AWS service would."""

    def __init__(self, host: Host, handlers: Mapping[str, Handler]) -> None:
        super().__init__({name: _observed(host, name, handler) for name, handler in handlers.items()})

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else _absent(name)


def _observed(host: Host, service: str, handler: Handler) -> Handler:
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        request = REQUEST.get()
        if request is not None:
            request.allow(time_limit(service, headers, body, query))
        refusal = host.refusal(service, path, headers, body, query)
        if refusal is not None:
            return error_response(
                refusal.code, refusal.message, status=refusal.status, headers=headers, body=body, query=query
            )
        changes = host.changes(method, headers, body, query)
        if changes and host.keeping is not None and (why := await host.keeping.usable()):
            return _not_kept(service, why, headers, body, query)
        if request is not None:
            request.service = service
        response = await handler(method, path, headers, body, query)
        if service == "secretsmanager" and response[0] == 400 and b"ResourceNotFoundException" in _bytes(response[2]):
            response = await _from_home(host, response, handler, (method, path, headers, body, query))
        if not changes and request is not None and request.refused:
            return _not_kept(service, request.refused, headers, body, query, doing="read")
        if changes and response[0] < 400 and (why := await host.handled(service, path, headers, body, query)):
            return _not_kept(service, why, headers, body, query)
        return response

    return handle


def _not_kept(
    service: str,
    why: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
    *,
    doing: str = "store",
) -> Response:
    """The service's own error for what it cannot store; with a status that clients do not try again by themselves."""
    advice = {
        "store": "Free some space, then ask again; `mwaa-local status` tells when it stores again.",
        "read": "`mwaa-local doctor --state` says what is damaged.",
    }
    message = f"The local AWS endpoint could not {doing} this: {why}. {advice[doing]}"
    code = storage_errors().get(service, "InternalFailure")
    return error_response(code, message, status=507, headers=headers, body=body, query=query)


async def _from_home(host: Host, missing: Response, handler: Handler, request: tuple[Any, ...]) -> Response:
    """A secret that the request's Region lacks, from the environment's own Region (spec/06 section E8).

    The guide's DAG asks ``us-east-1`` wherever its environment is.
    """
    asked = host.responses.get_region()
    if asked == host.region or not action_of(request[2], request[3], request[4]).startswith(_READS):
        return missing
    host.responses.set_request_region(host.region)
    try:
        found = await handler(*request)
    finally:
        host.responses.set_request_region(asked)
    return found if found[0] < 400 else missing


def _bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content or b"")


class _Refused:
    """Stands for a service module whose service is refused: its entries answer the error, all else is the module's."""

    def __init__(self, host: Host, module: Callable[[str], Any], name: str) -> None:
        self._host, self._module, self._name = host, module, name

    async def handle_request(
        self, _method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        refusal = self._host.admission.refusal(service_modules()[self._name], path, action_of(headers, body, query))
        assert refusal is not None, "made only for a refused service"
        return error_response(
            refusal.code, refusal.message, status=refusal.status, headers=headers, body=body, query=query
        )

    handle_registry_request = handle_request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module(self._name), name)


def _absent(service: str) -> Handler:
    async def handle(_method: str, _path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        return error_response(
            "UnknownOperationException",
            f"The local AWS endpoint has no service '{service}': use real AWS for it (Local.Aws in mwaa.yaml).",
            status=400,
            headers=headers,
            body=body,
            query=query,
        )

    return handle


@dataclass(frozen=True)
class _ServiceModel:
    """The part of a botocore model that MiniStack asks for."""

    metadata: dict[str, Any]


@cache
def _service_model(service: str) -> _ServiceModel | None:
    """Protocol of a service by MiniStack's name, from the head of botocore's data file, without importing botocore."""
    from ministack.core.responses import _BOTOCORE_NAME

    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "data" / _BOTOCORE_NAME.get(service, service)
    for path in sorted(folder.glob("*/service-2.json*"), reverse=True):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(16384).decode(errors="replace")
        start = head.find('"metadata":')
        if start >= 0:
            metadata, _end = json.JSONDecoder().raw_decode(head[start + 11 :].lstrip())
            return _ServiceModel(metadata)
    return None


def action_of(headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> str:
    """The API action of a request; empty where the path tells it (REST protocols)."""
    target = headers.get("x-amz-target", "")
    if target:
        return target.rsplit(".", 1)[-1]
    named = query.get("Action")
    if named:
        return str(named[0] if isinstance(named, list) else named)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        for part in body[:65536].split(b"&"):
            if part.startswith(b"Action="):
                return part[7:].decode(errors="replace")
    return ""


# Services whose one request may rightly take minutes (they run the user's code or wait for another's), seconds.
_SLOW_SERVICES = frozenset(
    {"lambda", "states", "apigateway", "cloudformation", "codebuild", "ecs", "rds", "batch", "glue", "athena"}
)
_SLOW_SECONDS = 930.0
REQUEST_SECONDS = 60.0


def time_limit(service: str, _headers: Mapping[str, str], _body: bytes, _query: Mapping[str, Any]) -> float:
    """Seconds a request may take: SQS's longest poll and some, or long for services that run other work."""
    return _SLOW_SECONDS if service in _SLOW_SERVICES else REQUEST_SECONDS


def error_response(
    code: str,
    message: str,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes = b"",
    query: Mapping[str, Any] | None = None,
) -> Response:
    """An error in the shape that the caller's protocol has for errors."""
    from xml.sax.saxutils import escape

    scope = headers.get("authorization", "")
    rest_xml = any(f"/{service}/" in scope for service in ("s3", "route53", "cloudfront"))
    if rest_xml or (headers.get("x-amz-target") is None and action_of(headers, body, query or {})):
        if "/s3/" in scope:
            text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        else:
            text = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
                "</Error><RequestId>mwaa-local</RequestId></ErrorResponse>"
            )
        return status, {"Content-Type": "text/xml"}, ('<?xml version="1.0" encoding="UTF-8"?>' + text).encode()
    content = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}, content
