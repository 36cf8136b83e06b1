"""S3's files against what is said of them: each difference is one damage, and what is in order is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mwaa_local.aws.server import objects, statefiles

ACCOUNT = "000000000000"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    bucket = tmp_path / "s3" / ACCOUNT / "bkt"
    (bucket / "dags").mkdir(parents=True)
    versions = [{"version_id": "v1", "size": 3}, {"version_id": "v2", "size": 5}, {"version_id": "null", "size": 9}]
    said = {"etag": "x", "size": 5, "version_id": "v2", "versions": versions}
    (bucket / "dags/a.py").write_bytes(b"12345")
    (bucket / "dags/a.py.meta.json").write_text(json.dumps(said))
    old = tmp_path / "s3/.versions" / ACCOUNT / "bkt/v1/dags"
    old.mkdir(parents=True)
    (old / "a.py").write_bytes(b"123")
    marker = {"is_delete_marker": True, "versions": [{"version_id": "m", "is_delete_marker": True}]}
    (bucket / "deleted.meta.json").write_text(json.dumps(marker))
    (bucket / "half.tmp").write_bytes(b"a put that was cut, and nobody was answered")
    (tmp_path / "services").mkdir()
    key = f"{ACCOUNT}\x00'bkt'"
    payload = {"buckets_meta": {"__scoped__": True, "data": {key: {}}}}
    statefiles.write(tmp_path / "services", "s3", statefiles.document(json.dumps(payload).encode(), {}))
    return tmp_path


def found(state: Path) -> dict[str, str]:
    damages = objects.check(state / "s3", state / "services")
    return {str(one.path.relative_to(state / "s3")): one.what for one in damages}


def test_what_is_in_order_is_no_damage(state: Path) -> None:
    assert found(state) == {}
    assert list(objects.check(state / "none", state / "none")) == []


OBJECT, OLD = f"{ACCOUNT}/bkt/dags/a.py", f".versions/{ACCOUNT}/bkt/v1/dags/a.py"


@pytest.mark.parametrize(
    ("place", "harm", "where", "what"),
    [
        (OBJECT, lambda path: path.write_bytes(b"123456"), OBJECT, "has 6 bytes, and 5 were stored"),
        (OBJECT, lambda path: path.write_bytes(b"1234"), OBJECT, "has 4 bytes, and 5 were stored"),
        (OBJECT, lambda path: path.unlink(), OBJECT, "is missing, and the object was stored"),
        (f"{OBJECT}.meta.json", lambda path: path.unlink(), f"{OBJECT}.meta.json", "is missing, and with it"),
        (f"{OBJECT}.meta.json", lambda path: path.write_text("{"), f"{OBJECT}.meta.json", "cannot be read"),
        (f"{OBJECT}.meta.json", lambda path: path.write_text("[]"), f"{OBJECT}.meta.json", "cannot be read"),
        (OLD, lambda path: path.unlink(), OLD, "is missing, and that version"),
        (OLD, lambda path: path.write_bytes(b"1"), OLD, "has 1 bytes, and 3 were stored"),
        (OLD, lambda path: path.write_bytes(b"1234"), OLD, "has 4 bytes, and 3 were stored"),
    ],
)
def test_each_difference_is_one_damage(
    place: str, harm: Callable[[Path], object], where: str, what: str, state: Path
) -> None:
    harm(state / "s3" / place)
    (one,) = found(state).items()
    assert one[0] == where
    assert one[1].startswith(what)


def test_a_bucket_without_its_folder_is_damage(state: Path) -> None:
    (state / "s3" / ACCOUNT / "bkt").rename(state / "s3" / ACCOUNT / "other")
    told = found(state)
    assert told[f"{ACCOUNT}/bkt"] == "is missing, and the bucket bkt was made"
