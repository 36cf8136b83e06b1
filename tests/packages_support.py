"""What the tests of the packages room share: a local HTTP server, tiny wheels, a tiny version."""

from __future__ import annotations

import contextlib
import http.server
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from mwaa_local import catalog

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Served:
    """Texts by path, and what was asked for."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.asked: list[str] = []
        self.url = ""


@contextlib.contextmanager
def serve(texts: Mapping[str, str]) -> Iterator[Served]:
    """A server on a free loopback port."""
    served = Served(texts)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            body = served.texts.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "text/plain")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wheel(
    folder: Path, name: str, version: str, *, needs: tuple[str, ...] = (), body: str = "", command: str | None = None
) -> Path:
    """A pure-Python wheel with one module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{module}/__init__.py": body or f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if command:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{command} = {module}:main\n"
    files[f"{info}/RECORD"] = "".join(f"{entry},,\n" for entry in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in files.items():
            archive.writestr(entry, text)
    return path


def tiny_version(packages: Mapping[str, str], **changes: object) -> catalog.Version:
    """3.2.1 with other packages, on the Python that runs the tests."""
    return replace(
        catalog.version("3.2.1"),
        python=HERE,
        packages=MappingProxyType(dict(packages)),
        source_only_packages=MappingProxyType({}),
        **{"essential": MappingProxyType({}), **changes},  # type: ignore[arg-type]
    )
