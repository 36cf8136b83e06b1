"""The stand-ins: what each is built of, and how.

A stand-in has the tag of the image it stands for, so the Dockerfile and compose.yaml need no change, and
labels that say what it
is. An image of that tag which carries no such label is the real one and is never touched.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pythons
from apt_sources import Mirror
from commands import OfflineError, Timer, run, say

HERE = Path(__file__).resolve().parent
LABEL = "io.mwaa-local.stand-in"

# A layer that installs Debian packages; the CA bundle is there during the step only.
_APT = (
    "RUN --mount=type=secret,id=ca set -eu; export DEBIAN_FRONTEND=noninteractive;"
    " if [ -s /run/secrets/ca ]; then"
    " echo 'Acquire::https::CaInfo \"/run/secrets/ca\";' >/etc/apt/apt.conf.d/00-build-ca; fi;"
    " apt-get update -qq && apt-get install -qq -y --no-install-recommends {packages} >/dev/null;"
    "{extra} rm -rf /etc/apt/apt.conf.d/00-build-ca /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt"
    " /var/log/dpkg.log /var/cache/debconf/*-old\n"
)

# What a CPython of pyenv or uv links to outside the standard library.
_PYTHON_LIBRARIES = (
    "ca-certificates tzdata netbase libssl3 libffi8 libsqlite3-0 zlib1g libbz2-1.0 liblzma5 libreadline8 libncursesw6"
    " libuuid1 libexpat1 libcrypt1 libnsl2 libtirpc3 libgdbm6 libdb5.3"
)

# Debian's slim images leave these out too.
_SLIM = (
    "\n".join(
        f"path-exclude {path}"
        for path in (
            "/usr/share/man/*",
            "/usr/share/locale/*",
            "/usr/share/info/*",
            "/usr/share/lintian/*",
            "/usr/share/doc/*",
        )
    )
    + "\npath-include /usr/share/doc/*/copyright\n"
)

# Nothing apt could make again stays in a layer: no downloads, no caches, package lists compressed.
_APT_CONF = (
    'Acquire::GzipIndexes "true";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
)


@dataclass(frozen=True)
class Settings:
    """What the builder was told or found out; paths are of this machine.

    Attributes:
        docker: the docker program and its global options.
        mirror: where Debian packages come from.
        pythons: the Pythons to copy, by MWAA's full version (``3.12.13``).
        packages: the catalog's os_packages.toml.
        ca: CA bundle for an https mirror behind a proxy, or None.
        work: folder for scratch files, on a file system that allows devices and programs.
        force: build again what exists.
    """

    docker: tuple[str, ...]
    mirror: Mirror
    pythons: Mapping[str, pythons.FoundPython]
    packages: Path
    ca: Path | None
    work: Path
    force: bool = False


@dataclass(frozen=True)
class Result:
    """What became of one tag: ``built``, ``kept`` (same recipe) or ``real`` (not ours, left alone)."""

    tag: str
    state: str
    seconds: float
    megabytes: float
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "tag": self.tag, "state": self.state, "seconds": round(self.seconds, 1),
            "megabytes": round(self.megabytes, 1), "notes": self.notes,
        }  # fmt: skip


def inspect(settings: Settings, tag: str) -> dict[str, Any] | None:
    """Give Docker's description of a local image, or None where there is no such image."""
    listed = run([*settings.docker, "image", "ls", "--quiet", tag], what=f"look for {tag}", limit=60)
    if not listed.strip():
        return None
    text = run([*settings.docker, "image", "inspect", tag], what=f"look at {tag}", limit=60)
    described: dict[str, Any] = json.loads(text)[0]
    return described


def key_of(*parts: str | Path) -> str:
    """Give the hash that tells whether a stand-in was made by this very recipe: texts, and contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def make(
    settings: Settings, tag: str, key: str, build: Callable[[Sequence[str]], None], notes: Sequence[str] = ()
) -> Result:
    """Build one tag unless it is there already.

    Args:
        settings: see there.
        tag: the image's name.
        key: ``key_of`` its recipe.
        build: makes the image; gets its labels as ``NAME=VALUE``.
        notes: differences from the real image, for the result and a label.
    """
    timer = Timer()
    there = inspect(settings, tag)
    labels = (there or {}).get("Config", {}).get("Labels") or {}
    if there is not None and LABEL not in labels:
        say(f"  {tag}: the real image is here, left alone")
        return Result(tag, "real", timer.seconds, there["Size"] / 1e6)
    if there is not None and labels.get(f"{LABEL}.recipe") == key and not settings.force:
        say(f"  {tag}: kept, same recipe")
        return Result(tag, "kept", timer.seconds, there["Size"] / 1e6, list(notes))
    say(f"  {tag}: building ...")
    build([f"{LABEL}={tag}", f"{LABEL}.recipe={key}", f"{LABEL}.notes={'; '.join(notes)}"])
    made = inspect(settings, tag)
    if made is None:
        raise OfflineError(
            f"{tag} was built but Docker does not list it", "look at `docker image ls`; is DOCKER_HOST the same daemon?"
        )
    say(f"  {tag}: built in {timer.seconds:.0f} s, {made['Size'] / 1e6:.0f} MB")
    return Result(tag, "built", timer.seconds, made["Size"] / 1e6, list(notes))


def debian_root(settings: Settings, tag: str) -> Result:
    """Make the Debian base: debootstrap's smallest variant with its updates applied, cleaned as slim images are."""
    mirror = settings.mirror

    def build(labels: Sequence[str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="mwaa-local-root-", dir=settings.work))
        root, archive = folder / "root", folder / "root.tar"
        try:
            run(
                [
                    "debootstrap",
                    "--variant=minbase",
                    f"--keyring={mirror.keyring}",
                    mirror.suite,
                    str(root),
                    mirror.uri,
                ],
                what=f"debootstrap of Debian {mirror.suite}",
                hint="does `apt-get update` work on this machine? another mirror can be given with --mirror",
            )
            (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_SLIM, encoding="utf-8")
            # No service may start inside an image build.
            policy = root / "usr/sbin/policy-rc.d"
            policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
            policy.chmod(0o755)
            (root / "etc/apt/apt.conf.d/image").write_text(_APT_CONF, encoding="utf-8")
            (root / "etc/apt/sources.list").write_text("\n".join(mirror.lines) + "\n", encoding="utf-8")
            options = []
            if settings.ca is not None:
                shutil.copy(settings.ca, root / "tmp/ca.pem")
                options = ["-o", "Acquire::https::CaInfo=/tmp/ca.pem"]
            for step in (["update", "-qq"], ["dist-upgrade", "-qq", "-y"], ["clean"]):
                run(
                    ["chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *step],
                    what=f"apt-get {step[0]}",
                )
            _clean(root)
            run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], what="pack the root folder")
            pairs = [label.partition("=") for label in labels]
            changes = [f"--change=LABEL {name}={json.dumps(value)}" for name, _, value in pairs]
            run(
                [*settings.docker, "import", '--change=CMD ["bash"]', *changes, str(archive), tag], what=f"import {tag}"
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    note = f"Debian {mirror.suite} by debootstrap"
    return make(settings, tag, key_of("root 2", _SLIM, _APT_CONF, mirror.suite, *mirror.lines), build, [note])


def _clean(root: Path) -> None:
    """Remove what an image does not need, the builder's own traces included (its resolver, its host name)."""
    patterns = (
        "var/lib/apt/lists/* var/log/* var/cache/apt/* var/cache/debconf/*-old tmp/* usr/share/man/* usr/share/locale/*"
        " usr/share/info/* etc/resolv.conf etc/hostname etc/machine-id"
    )
    for pattern in patterns.split():
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in (root / "usr/share/doc").glob("*/*"):
        if path.name != "copyright" and (path.is_file() or path.is_symlink()):
            path.unlink()
    (root / "etc/machine-id").touch()
    # Packages such as Java register manual pages here and fail where the folder is missing.
    (root / "usr/share/man/man1").mkdir()


def _docker_build(settings: Settings, tag: str, dockerfile: str, context: Path, labels: Sequence[str]) -> None:
    (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    command = [*settings.docker, "build", "--quiet", "--pull=false", "--tag", tag]
    for label in labels:
        command += ["--label", label]
    if settings.ca is not None:
        command += ["--secret", f"id=ca,src={settings.ca}"]
    run(
        [*command, str(context)],
        what=f"build {tag}",
        hint="can containers reach the Debian mirror? see docs/how-to/air-gapped.md",
    )


def _in_context(settings: Settings, build: Callable[[Path], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mwaa-local-image-", dir=settings.work))
    try:
        build(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent_id(settings: Settings, tag: str) -> str:
    described = inspect(settings, tag)
    if described is None:
        raise OfflineError(
            f"the image {tag} is missing", "run the whole of docker/offline/build.py, which makes it first"
        )
    return str(described["Id"])


def _python_note(patch: str, python: pythons.FoundPython) -> str:
    return f"Python {python.version} of this machine" + (
        "" if python.version == patch else f" where the tag says {patch}"
    )


def _python_steps(minors: Sequence[str], *, pip: bool) -> str:
    """Give the steps that put copied Pythons in place and prove that they work there."""
    lines = (
        _APT.format(packages=_PYTHON_LIBRARIES, extra="") + "COPY python/ /usr/local/\nCOPY check.py /tmp/check.py\n"
    )
    checks = " && ".join(f"/usr/local/bin/python{minor} /tmp/check.py" for minor in minors)
    if pip:
        checks += "".join(
            f" && /usr/local/bin/python{minor} -m ensurepip --default-pip >/dev/null 2>&1" for minor in minors
        )
    return (
        lines + f"RUN ldconfig && {checks} && rm /tmp/check.py"
        " && find /usr/local -name __pycache__ -prune -exec rm -rf {} +\n"
    )


def _merge(found: Sequence[pythons.FoundPython], context: Path) -> None:
    for python in found:
        pythons.copy(python, context / "one")
        shutil.copytree(context / "one", context / "python", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(context / "one")
    (context / "check.py").write_text(pythons.CHECK, encoding="utf-8")


def python_image(settings: Settings, tag: str, root: str, patch: str) -> Result:
    """Make the stand-in of the official slim Python image of one version."""
    python = settings.pythons[patch]
    text = (
        f"FROM {root}\nENV PATH=/usr/local/bin:$PATH LANG=C.UTF-8 PYTHON_VERSION={python.version}\n"
        + _python_steps([python.minor], pip=True)
        + f"RUN ln -s python{python.minor} /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python\n"
        + 'CMD ["python3"]\n'
    )

    def build(labels: Sequence[str]) -> None:
        def with_context(context: Path) -> None:
            _merge([python], context)
            _docker_build(settings, tag, text, context, labels)

        _in_context(settings, with_context)

    key = key_of(text, pythons.CHECK, HERE / "pythons.py", str(python), _parent_id(settings, root))
    return make(settings, tag, key, build, [_python_note(patch, python), "Debian by debootstrap"])


def al2023_image(settings: Settings, tag: str, root: str) -> Result:
    """Make the stand-in of Amazon Linux 2023: Debian under a ``dnf`` that knows the catalog's package list."""
    found = list({python.minor: python for python in settings.pythons.values()}.values())
    text = (
        f"FROM {root}\nENV LANG=C.UTF-8\n"
        + _python_steps([python.minor for python in found], pip=False)
        + "COPY os_packages.toml /usr/share/mwaa-local/os_packages.toml\nCOPY dnf.py /usr/bin/dnf\n"
        # Hidden until `dnf install python3.N` "installs" them, as on the real one.
        # (Under /usr/local, because Python looks for its library from its own folder upwards.)
        + "RUN mkdir -p /usr/local/libexec/pythons && mv /usr/local/bin/python3.* /usr/local/libexec/pythons/"
        + f" && sed -i '1s,.*,#!/usr/local/libexec/pythons/python{found[0].minor},' /usr/bin/dnf"
        + " && chmod 755 /usr/bin/dnf"
        + " && ln -s dnf /usr/bin/yum && ln -s dnf /usr/bin/microdnf\n"
        + 'CMD ["/bin/bash"]\n'
    )

    def build(labels: Sequence[str]) -> None:
        def with_context(context: Path) -> None:
            _merge(found, context)
            shutil.copy(settings.packages, context / "os_packages.toml")
            shutil.copy(HERE / "dnf.py", context / "dnf.py")
            _docker_build(settings, tag, text, context, labels)

        _in_context(settings, with_context)

    notes = [
        "Debian packages under a translating dnf, not Amazon Linux",
        *(_python_note(p, v) for p, v in settings.pythons.items()),
    ]
    key = key_of(
        text,
        pythons.CHECK,
        HERE / "pythons.py",
        HERE / "dnf.py",
        settings.packages,
        str(found),
        _parent_id(settings, root),
    )
    return make(settings, tag, key, build, notes)


def postgres_image(settings: Settings, tag: str, root: str) -> Result:
    """Make the stand-in of the official PostgreSQL image: Debian's server, the part of its entrypoint that we use."""
    # The tag's major version; Debian 12 packages one.
    major = tag.rsplit(":", 1)[1].split(".")[0].split("-")[0]
    text = (
        f"FROM {root}\n"
        # No cluster of the package's own: the entrypoint makes one in PGDATA.
        "RUN mkdir -p /etc/postgresql-common"
        " && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf\n"
        # The JIT compiler is two thirds of the package and does nothing for queries of this size.
        + _APT.format(
            packages=f"postgresql-{major}",
            extra=" rm -rf /usr/lib/llvm* /usr/lib/*/libLLVM* /usr/lib/*/libz3* /usr/lib/postgresql/*/lib/bitcode"
            " /usr/lib/postgresql/*/lib/llvmjit*;",
        )
        + f"ENV PATH=/usr/lib/postgresql/{major}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        f" PG_MAJOR={major} PGDATA=/var/lib/postgresql/data LANG=C.UTF-8\n"
        "COPY --chmod=755 postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh\n"
        "RUN install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data /var/run/postgresql\n"
        'VOLUME /var/lib/postgresql/data\nENTRYPOINT ["docker-entrypoint.sh"]\n'
        'STOPSIGNAL SIGINT\nEXPOSE 5432\nCMD ["postgres"]\n'
    )

    def build(labels: Sequence[str]) -> None:
        def with_context(context: Path) -> None:
            shutil.copy(HERE / "postgres-entrypoint.sh", context / "postgres-entrypoint.sh")
            _docker_build(settings, tag, text, context, labels)

        _in_context(settings, with_context)

    key = key_of(text, HERE / "postgres-entrypoint.sh", _parent_id(settings, root))
    return make(settings, tag, key, build, [f"Debian's PostgreSQL {major} package; no JIT, no locale but C.UTF-8"])
