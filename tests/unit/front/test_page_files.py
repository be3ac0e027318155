# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the pages: found by their names only, replaced while Orthanc runs, and strict."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.shipped_tree import tree_archive

from page_files import CONTENT_SECURITY_POLICY, TYPES, PageFiles

PAGES = Path(__file__).parents[3] / "roles/orthanc_phi/files/pages"
HTML = sorted(PAGES.rglob("*.html"))
SCRIPTS = sorted(PAGES.rglob("*.js"))


@pytest.fixture
def pages(tmp_path: Path) -> PageFiles:
    libraries = tmp_path / "lib"
    libraries.mkdir()
    (libraries / "uplot.mjs").write_text("export default 1;")
    (tmp_path / "pages").write_text(tree_archive(str(PAGES)))
    return PageFiles(tmp_path / "pages", libraries)


def test_a_file_is_found_by_its_name(pages: PageFiles) -> None:
    page = pages.find("scrub/study_anonymize.html")
    assert page is not None
    assert page.content == (PAGES / "scrub/study_anonymize.html").read_bytes()
    assert page.media_type == "text/html; charset=utf-8"
    library = pages.find("lib/uplot.mjs")
    assert library is not None
    assert library.media_type.startswith("text/javascript")


@pytest.mark.parametrize(
    "name",
    [
        "../config.json",
        "scrub/../../uid.key",
        "/etc/passwd",
        "scrub",
        "scrub/",
        "lib/../pages",
        ".",
    ],
)
def test_nothing_else_is_found(pages: PageFiles, name: str) -> None:
    assert pages.find(name) is None


def test_new_pages_are_served_without_a_restart(pages: PageFiles, tmp_path: Path) -> None:
    before = pages.find("index.html")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/index.html").write_text("<!doctype html>new")
    archive = tmp_path / "pages"
    archive.write_text(tree_archive(str(tmp_path / "new")))
    os.utime(archive, ns=(1, 1))
    after = pages.find("index.html")
    assert after is not None
    assert before is not None
    assert (after.content, after.etag == before.etag) == (b"<!doctype html>new", False)


def test_the_policy_allows_nothing_inside_a_page_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'self';")


@pytest.mark.parametrize("path", HTML, ids=lambda path: path.name)
def test_a_page_has_no_code_inside_and_asks_no_other_site(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\bstyle=|\son\w+=", text)
    assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", text)
    for name in re.findall(r"""(?:src|href)=["']([^"'#]+)""", text):
        if "/lib/" not in name:
            assert (path.parent / name).exists(), name
    for word in ('lang="en"', "<title>", 'name="viewport"', '<main id="main"', "<noscript>"):
        assert word in text, word


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_reads_text_as_html(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML"
    )
    assert not re.search(forbidden, text)


def test_every_kind_of_file_has_a_type() -> None:
    assert {path.suffix for path in PAGES.rglob("*") if path.is_file()} <= set(TYPES)
