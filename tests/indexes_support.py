"""Local package indexes of every behaviour, and archives of any tag: what the tests of merged indexes share."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packages_support import HERE

# The tag of the Python that runs the tests, and of another one.
MINE = f"cp{HERE.replace('.', '')}-cp{HERE.replace('.', '')}-manylinux_2_17_x86_64"
OTHER = "cp38-cp38-manylinux_2_17_x86_64"
PURE = "py3-none-any"


@dataclass
class File:
    """An archive and what an index says of it."""

    name: str
    data: bytes
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def wheel(
    name: str, version: str, tag: str = PURE, *, needs: tuple[str, ...] = (), mark: str = "", **told: Any
) -> File:
    """A wheel with one module; ``mark`` makes it another file under the same name."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{module}.py", f"mark = {mark!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {str(tag == PURE).lower()}\nTag: {tag}\n",
        )
        archive.writestr(f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return File(f"{module}-{version}-{tag}.whl", out.getvalue(), told)


_BACKEND = """
import os, zipfile
NAME, VERSION = {name!r}, {version!r}
INFO = NAME.replace("-", "_") + "-" + VERSION + ".dist-info"
META = "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: " + VERSION + "\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.makedirs(os.path.join(folder, INFO))
    for file, text in (("METADATA", META), ("WHEEL", WHEEL)):
        with open(os.path.join(folder, INFO, file), "w") as stream:
            stream.write(text)
    return INFO
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = NAME.replace("-", "_") + "-" + VERSION + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr(INFO + "/METADATA", META)
        archive.writestr(INFO + "/WHEEL", WHEEL)
        archive.writestr(INFO + "/RECORD", "".join(INFO + "/" + f + ",,\\n" for f in ("METADATA", "WHEEL", "RECORD")))
    return name
"""


def sdist(name: str, version: str, **told: Any) -> File:
    """A source archive that builds with nothing but itself."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.format(name=name, version=version),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{stem}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return File(f"{stem}.tar.gz", out.getvalue(), told)


@dataclass
class Index:
    """An index below ``/<name>/simple``.

    Attributes:
        name: Its part of the address.
        files: Project to files.
        form: ``json`` or ``html``.
        status: What it answers to everything instead, if not 0.
        body: With a status of 200: the page it answers to everything.
        content_type: The form it says its pages have.
        login: What it wants, ``user:password``.
        max_age: How long its pages count, in seconds.
        wait_s: How long it waits before each answer.
    """

    name: str
    files: dict[str, list[File]] = field(default_factory=dict)
    form: str = "json"
    status: int = 0
    body: bytes = b""
    content_type: str = ""
    login: str = ""
    max_age: int | None = None
    wait_s: float = 0.0
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def add(self, *files: File) -> Index:
        for file in files:
            project = file.name.removesuffix(".tar.gz").split("-")[0].replace("_", "-")
            self.files.setdefault(project, []).append(file)
        return self

    @property
    def with_login(self) -> str:
        return self.url.replace("://", f"://{self.login}@")

    def page(self, project: str) -> tuple[str, bytes]:
        files = self.files[project]
        if self.form == "html":
            rows = "".join(
                f'<a href="../../files/{file.name}#sha256={file.sha256}"{_attributes(file)}>{file.name}</a><br>\n'
                for file in files
            )
            return "text/html", f"<!DOCTYPE html><html><body>{rows}</body></html>".encode()
        rows_ = [
            {"filename": file.name, "url": f"../../files/{file.name}", "hashes": {"sha256": file.sha256}, **file.told}
            for file in files
        ]
        content = {"meta": {"api-version": "1.1"}, "name": project, "files": rows_, "versions": []}
        return "application/vnd.pypi.simple.v1+json", json.dumps(content).encode()


def _attributes(file: File) -> str:
    out = ""
    if "requires-python" in file.told:
        out += f' data-requires-python="{file.told["requires-python"].replace("<", "&lt;").replace(">", "&gt;")}"'
    if file.told.get("yanked"):
        out += ' data-yanked="bad"'
    return out


@contextlib.contextmanager
def serving(*indexes: Index) -> Iterator[None]:
    """Answer for indexes on one loopback port each, so that each is a host of its own; sets their ``url``."""
    with contextlib.ExitStack() as stack:
        for index in indexes:
            stack.enter_context(_serving(index))
        yield


@contextlib.contextmanager
def _serving(index: Index) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked.append(f"{self.command} {self.path}")
            time.sleep(index.wait_s)
            expected = "Basic " + base64.b64encode(index.login.encode()).decode()
            if index.login and self.headers.get("Authorization") != expected:
                self.answer(401, b"who are you?", "text/plain")
                return
            if index.status:
                self.answer(index.status, index.body, index.content_type or "text/html")
                return
            parts = self.path.split("?")[0].strip("/").split("/")
            if parts[:2] == [index.name, "simple"] and len(parts) == 2:
                self.answer(200, b"<html></html>", "text/html")
            elif parts[:2] == [index.name, "simple"] and parts[2] in index.files:
                kind, body = index.page(parts[2])
                tag = f'"{hashlib.sha256(body).hexdigest()}"'
                if self.headers.get("If-None-Match") == tag:
                    self.answer(304, b"", kind, ETag=tag)
                else:
                    self.answer(200, body, index.content_type or kind, ETag=tag)
            elif parts[:2] == [index.name, "links"]:
                every = "".join(
                    f'<a href="/{index.name}/files/{f.name}">{f.name}</a>' for fs in index.files.values() for f in fs
                )
                self.answer(200, every.encode(), "text/html")
            elif parts[1:2] == ["files"]:
                known = {file.name: file.data for files in index.files.values() for file in files}
                self.answer(200 if parts[2] in known else 404, known.get(parts[2], b""), "application/octet-stream")
            else:
                self.answer(404, b"", "text/html")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str, **headers: str) -> None:
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                if index.max_age is not None and status in {200, 304}:
                    self.send_header("Cache-Control", f"max-age={index.max_age}")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}/{index.name}/simple"
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def static(folder: Path, *files: File) -> Path:
    """Files in a folder, for ``--find-links``."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_bytes(file.data)
    return folder


def index_folder(folder: Path, *files: File) -> Path:
    """An index as a folder, ``<project>/index.html``."""
    static(folder / "files", *files)
    for file in files:
        page = folder / "simple" / file.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        with page.open("a") as stream:
            stream.write(f'<a href="../../files/{file.name}#sha256={file.sha256}">{file.name}</a>\n')
    return folder / "simple"
