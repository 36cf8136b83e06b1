"""Signed AWS requests over plain HTTP, for the few calls that start-up makes.

Importing boto3 and making three clients takes longer than all of these calls together. A request made here is one
boto3 would make, with a true signature, so it works against any endpoint. For anything else use ``client.client``.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mwaa_local.errors import EndpointError

_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


@dataclass(frozen=True)
class Credentials:
    """Explicit credentials. The defaults mean account 000000000000 to the local endpoint."""

    access_key: str = "test"
    secret_key: str = "test"
    session_token: str = ""


class AwsRefusedError(EndpointError):
    """The endpoint answered with an error.

    Attributes:
        code: AWS's error code, such as ``QueueAlreadyExists``.
        status: HTTP status.
    """

    def __init__(self, code: str, status: int, message: str, where: str) -> None:
        super().__init__(f"The AWS endpoint refused a call: {code}", where=where, why=message)
        self.code = code
        self.status = status


class Wire:
    """One kept-alive connection to an endpoint.

    Args:
        endpoint: URL such as ``http://127.0.0.1:4566``.
        region: Region to sign for.
        credentials: Who signs.
        timeout_s: Seconds for connecting and for each answer.
    """

    def __init__(
        self, endpoint: str, region: str, credentials: Credentials | None = None, *, timeout_s: float = 5.0
    ) -> None:
        parts = urlsplit(endpoint)
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        if not parts.hostname:
            raise EndpointError(
                "The address of the AWS endpoint is not a URL", where=endpoint, hint="Give it as http://HOST:PORT"
            )
        self._connection = connection(parts.hostname, parts.port, timeout=timeout_s)
        self._host = parts.netloc
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials or Credentials()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def call_json(self, service: str, target: str, document: dict[str, Any], *, version: str = "1.1") -> dict[str, Any]:
        """Call an action of a JSON protocol, such as ``AmazonSQS.CreateQueue``.

        Raises:
            AwsRefusedError: The endpoint answered with an error.
            EndpointError: It did not answer.
        """
        headers = {"x-amz-target": target, "content-type": f"application/x-amz-json-{version}"}
        content = self.call("POST", service, "/", body=json.dumps(document).encode(), headers=headers)
        parsed = json.loads(content or b"{}")
        return parsed if isinstance(parsed, dict) else {}

    def call(
        self,
        method: str,
        service: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """Send one signed request; see ``call_json`` for the errors.

        Args:
            path: Path, not yet quoted.
            query: Parameters; an empty value is sent as ``name=``.
        """
        quoted = quote(path, safe="/-_.~")
        parameters = urlencode(sorted((query or {}).items()), quote_via=quote)
        signed = self._signed(method, service, quoted, parameters, body, headers or {})
        address = quoted + ("?" + parameters if parameters else "")
        try:
            self._connection.request(method, address, body, signed)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise EndpointError(
                "The AWS endpoint does not answer",
                where=self._endpoint,
                why=f"{type(error).__name__}: {error}",
                hint="See `mwaa-local status` and the log of the component 'aws'",
            ) from error
        if response.status >= 400:
            code, message = _error_of(
                response.headers.get("x-amzn-errortype", ""), response.headers.get("x-amzn-query-error", ""), content
            )
            raise AwsRefusedError(
                code or str(response.status), response.status, message, f"{self._endpoint} {service} {method} {path}"
            )
        return content

    def _signed(
        self, method: str, service: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> dict[str, str]:
        """All headers of the request, with Signature Version 4."""
        now = datetime.datetime.now(datetime.UTC)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        everything = {"host": self._host, "x-amz-date": stamp, "x-amz-content-sha256": digest}
        everything.update({name.lower(): value for name, value in headers.items()})
        if self._credentials.session_token:
            everything["x-amz-security-token"] = self._credentials.session_token
        names = sorted(everything)
        canonical = "\n".join(
            [
                method,
                path,
                query,
                *(f"{name}:{everything[name].strip()}" for name in names),
                "",
                ";".join(names),
                digest,
            ]
        )
        scope = f"{stamp[:8]}/{self._region}/{service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self._credentials.secret_key).encode()
        for part in (stamp[:8], self._region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        everything["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return everything


def _error_of(error_type: str, query_error: str, content: bytes) -> tuple[str, str]:
    text = content.decode(errors="replace")
    if text.lstrip().startswith("<"):
        code, message = _CODE.search(text), _MESSAGE.search(text)
        return (code.group(1) if code else ""), (message.group(1) if message else "")
    try:
        document = json.loads(text or "{}")
    except ValueError:
        document = {}
    code_text = query_error.split(";")[0] or error_type or str(document.get("__type", ""))
    return code_text.rsplit("#", 1)[-1].split(":")[0], str(
        document.get("message") or document.get("Message") or text[:200]
    )
