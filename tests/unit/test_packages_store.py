"""The folder of package sets: locks, partial folders, clones, links, clearing up; and bounded children."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import os
import sys
import time
from pathlib import Path

import pytest
from patience import Stopwatch, gone

from mwaa_local.packages import child, listing, store
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.install import relocatable_scripts
from mwaa_local.packages.store import Store


def publish(sets: Store, key: str, **content: object) -> Path:
    with sets.lock(key, 1), sets.partial(key) as folder:
        (folder / "file").write_text(key)
        return sets.publish(folder, key, {"key": key, **content})


def test_a_set_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    sets = Store(tmp_path)
    with pytest.raises(RuntimeError), sets.lock("k", 1), sets.partial("k") as folder:
        (folder / "file").write_text("half")
        raise RuntimeError
    assert sets.manifest("k") is None
    assert not list(tmp_path.glob(".partial-*"))
    place = publish(sets, "k")
    assert sets.manifest("k") == {"key": "k"}
    assert (place / "file").read_text() == "k"


def test_what_a_dead_builder_left_is_removed_by_the_next(tmp_path: Path) -> None:
    sets = Store(tmp_path)
    (tmp_path / ".partial-k-dead").mkdir()
    (tmp_path / ".partial-other-alive").mkdir()
    publish(sets, "k")
    assert {path.name for path in tmp_path.glob(".partial-*")} == {".partial-other-alive"}


def test_a_damaged_set_is_replaced(tmp_path: Path) -> None:
    sets = Store(tmp_path)
    place = publish(sets, "k")
    (place / store.MANIFEST).write_text("{")
    assert sets.manifest("k") is None
    publish(sets, "k")
    assert sets.manifest("k") is not None


def _hold(root: Path, ready: multiprocessing.synchronize.Event, seconds: float) -> None:
    with Store(root).lock("k", 1):
        ready.set()
        time.sleep(seconds)


def test_a_lock_keeps_another_process_out_and_names_the_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, 30))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(UnmetRequirementsError, match="Another process"), Store(tmp_path).lock("k", 0.2):
            pass
        with Store(tmp_path).lock("another", 0.2):
            pass
    finally:
        holder.kill()
        holder.join()
    with Store(tmp_path).lock("k", 0.2):  # a killed holder holds nothing
        pass


def test_a_lock_outlives_a_parent_through_the_installer_it_started(tmp_path: Path) -> None:
    sets = Store(tmp_path)
    with sets.lock("k", 1) as lock:
        orphan = os.posix_spawn(
            "/bin/sleep", ["sleep", "30"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, lock, 9)], setpgroup=0
        )
    try:
        with pytest.raises(UnmetRequirementsError), sets.lock("k", 0.1):
            pass
    finally:
        os.kill(orphan, 9)
        os.waitpid(orphan, 0)
    with sets.lock("k", 0.1):
        pass


def test_a_clone_shares_contents_and_changes_alone(tmp_path: Path) -> None:
    source, dest = tmp_path / "a", tmp_path / "b"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "tool").write_text("x")
    (source / "bin" / "python").symlink_to("/usr/bin/env")
    (source / store.MANIFEST).write_text("{}")
    dest.mkdir()
    store.clone(source, dest)
    assert (dest / "bin" / "tool").samefile(source / "bin" / "tool")
    assert (dest / "bin" / "python").readlink() == Path("/usr/bin/env")
    assert not (dest / store.MANIFEST).exists()
    (dest / "bin" / "tool").unlink()
    assert (source / "bin" / "tool").exists()


def test_a_clone_across_file_systems_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    (tmp_path / "b").mkdir()
    store.clone(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "f").read_text() == "x"


def test_a_clone_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="No space left") as caught:
        store.clone(tmp_path / "a", tmp_path / "b")
    assert caught.value.errno == 28


def test_a_link_is_swapped_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "home" / ".local"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert store.swap_link(link, tmp_path / "a")
    assert not store.swap_link(link, tmp_path / "a")
    assert store.swap_link(link, tmp_path / "b")
    assert link.resolve() == tmp_path / "b"
    assert [path.name for path in link.parent.iterdir()] == [".local"]


def test_a_folder_with_content_is_never_replaced_by_a_link(tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "mine").touch()
    with pytest.raises(OSError):
        store.swap_link(tmp_path / ".local", tmp_path)
    assert (tmp_path / ".local" / "mine").exists()


def test_clearing_up_keeps_what_is_linked_its_base_and_what_is_asked_for(tmp_path: Path) -> None:
    sets = Store(tmp_path / "sets")
    for key, base in (("base", "base"), ("linked", "base"), ("kept", "kept"), ("old", "base"), ("orphan-base", "x")):
        publish(sets, key, base=base)
    (sets.root / ".partial-dead-1234").mkdir()
    link = tmp_path / "home" / ".local"
    store.swap_link(link, sets.place("linked"))
    sets.register(link)
    assert sets.prune(["kept"], older_than_s=3600) == []
    assert sets.prune(["kept"]) == ["old", "orphan-base"]
    assert not (sets.root / ".partial-dead-1234").exists()
    assert sets.manifest("base")
    link.unlink()
    assert sets.prune() == ["base", "kept", "linked"]


def test_clearing_up_leaves_what_is_being_built(tmp_path: Path) -> None:
    sets = Store(tmp_path)
    with sets.lock("k", 1), sets.partial("k") as folder:
        sets.prune()
        assert folder.is_dir()


def test_a_listing_is_read_from_folder_names(tmp_path: Path) -> None:
    for name in ("Flask-3.1.3.dist-info", "ruamel.yaml-0.18.dist-info", "old_style-1.0-py3.11.egg-info", "x", "y.py"):
        (tmp_path / name).mkdir()
    assert listing.installed(tmp_path) == {"flask": "3.1.3", "old-style": "1.0", "ruamel-yaml": "0.18"}
    assert listing.diff({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == (
        listing.Change("a", "1", ""),
        listing.Change("b", "1", "2"),
        listing.Change("c", "", "1"),
    )


def test_scripts_survive_the_renaming_of_their_folder(tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    (partial / "bin").mkdir(parents=True)
    (partial / "bin" / "python").symlink_to(sys.executable)
    script = partial / "bin" / "tool"
    script.write_text(f"#!{partial}/bin/python -P\nimport sys\nprint('ran', sys.argv[1])\n")
    script.chmod(0o755)
    shared = tmp_path / "shared"
    os.link(script, shared)
    relocatable_scripts(partial)
    partial.rename(tmp_path / "final")
    done = child.run([tmp_path / "final/bin/tool", "well"], env={"PATH": os.defpath}, timeout_s=20)
    assert done.lines == ("ran well",)
    assert "partial" in shared.read_text()  # the set it shares the file with is as it was


def test_a_child_is_stopped_with_everything_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    watch = Stopwatch()
    done = child.run(
        ["/bin/sh", "-c", f"sleep 60 & echo $! > {mark}; echo said; wait"], env={"PATH": os.defpath}, timeout_s=0.5
    )
    assert done.timed_out
    assert done.lines == ("said",)
    assert watch.given() < 10
    assert gone(int(mark.read_text()))
