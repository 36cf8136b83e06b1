"""Every place that code, catalog and documents cite is told in the page of sources."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CITED = re.compile(r"spec/(\d\d) (?:sections? |appendix |appendices )?\(?([A-Z]{1,2}(?=-)|[A-Z]?\d*)")


def places(text: str) -> set[tuple[str, str]]:
    return {(part, place) for part, place in CITED.findall(text) if place}


def test_citations_are_read() -> None:
    assert places("(spec/10 section 4.2, spec/05 T-07, spec/07 B1.4; spec/10 appendix A) spec/04 sections 1-3") == {
        ("10", "4"), ("05", "T"), ("07", "B1"), ("10", "A"), ("04", "1"),
    }  # fmt: skip


def test_every_cited_place_is_told() -> None:
    page = (ROOT / "docs/reference/sources.md").read_text(encoding="utf-8")
    told = {(part, place) for part, place in re.findall(r"^\| (\d\d) (\w+) \|", page, flags=re.M)}
    files = [
        path
        for folder in ("src", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".toml", ".md")
    ]
    missing = {
        (part, place): str(path.relative_to(ROOT))
        for path in files
        for part, place in places(path.read_text(encoding="utf-8"))
        if (part, place) not in told
    }
    assert missing == {}
