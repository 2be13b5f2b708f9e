"""The folder of a site: only what a build wrote is written over or removed."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.site import HEADER, MARKER, SiteFolder


def build(folder, pages):
    """Write ``pages`` (content by path) as one build; return how many files changed and how many went."""
    site = SiteFolder(folder)
    return site.write(PageFile(path, content) for path, content in pages.items()), site.finish()


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pages_are_written_once_and_removed_when_nobody_makes_them(tmp_path):
    site = tmp_path / "new" / "site"
    assert build(site, {"index.html": b"1", "models/a/index.html": b"a", "models/b/index.html": b"b"}) == (3, 0)
    before = (site / "models/a/index.html").stat()
    assert build(site, {"index.html": b"2", "models/a/index.html": b"a"}) == (1, 1)
    assert (site / "models/a/index.html").stat().st_mtime_ns == before.st_mtime_ns
    listed = f"{HEADER}\nindex.html\nmodels/a/index.html\n".encode()
    assert files_of(site) == {"index.html": b"2", "models/a/index.html": b"a", MARKER: listed}
    assert not (site / "models/b").exists()


def test_a_page_that_was_altered_is_written_again(tmp_path):
    build(tmp_path / "site", {"index.html": b"right"})
    (tmp_path / "site/index.html").write_bytes(b"wrong")
    assert build(tmp_path / "site", {"index.html": b"right"}) == (1, 0)
    assert (tmp_path / "site/index.html").read_bytes() == b"right"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        SiteFolder(tmp_path)
    assert files_of(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "site").touch()
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "site"))):
        SiteFolder(tmp_path / "site")


def test_files_of_others_in_a_site_stay(tmp_path):
    build(tmp_path, {"index.html": b"1", "models/a/index.html": b"a"})
    (tmp_path / "CNAME").write_bytes(b"board.example.org")
    (tmp_path / "models/a/mine.txt").write_bytes(b"mine")
    assert build(tmp_path, {"index.html": b"1"}) == (0, 1)
    assert files_of(tmp_path).keys() == {"index.html", "CNAME", "models/a/mine.txt", MARKER}
    with pytest.raises(UsageError, match="CNAME"):
        build(tmp_path, {"CNAME": b"evil"})
    assert (tmp_path / "CNAME").read_bytes() == b"board.example.org"


def test_links_are_not_followed(tmp_path):
    outside, site = tmp_path / "outside", tmp_path / "site"
    outside.mkdir()
    (outside / "kept.html").write_bytes(b"kept")
    build(site, {"index.html": b"1", "a.html": b"a", "models/kept.html": b"k"})
    (site / "models/kept.html").unlink()
    (site / "models").rmdir()
    (site / "models").symlink_to(outside)
    with pytest.raises(UsageError, match=r"new\.html.*link"):
        build(site, {"models/new.html": b"lost"})
    build(site, {"index.html": b"1", "a.html": b"a"})
    (site / "models").unlink()
    (site / "a.html").unlink()
    (site / "a.html").symlink_to(outside / "kept.html")
    build(site, {"index.html": b"1", "a.html": b"kept"})
    assert not (site / "a.html").is_symlink()
    assert files_of(outside) == {"kept.html": b"kept"}


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "a//b", "", ".hidden", MARKER, "a/.b", "a\nb", "é.html", "a/"]
)
def test_pages_cannot_lead_out_of_the_site(tmp_path, path):
    with pytest.raises(UsageError, match=re.escape(repr(path))):
        build(tmp_path / "site", {path: b""})
    assert files_of(tmp_path).keys() == {f"site/{MARKER}"}


def test_one_build_makes_a_page_once(tmp_path):
    with pytest.raises(UsageError, match=r"a\.html"):
        SiteFolder(tmp_path).write([PageFile("a.html", b"1"), PageFile("a.html", b"2")])


def test_an_interrupted_build_can_be_taken_up(tmp_path):
    SiteFolder(tmp_path).write([PageFile("a.html", b"a"), PageFile("b.html", b"b")])  # and never finished
    assert build(tmp_path, {"a.html": b"a"}) == (0, 1)
    assert files_of(tmp_path).keys() == {"a.html", MARKER}


def test_kept_pages_stay_unless_they_are_given_up(tmp_path):
    build(tmp_path, {"a.html": b"a", "b.html": b"b"})
    site = SiteFolder(tmp_path)
    site.keep(["a.html", "b.html"])
    site.give_up(["b.html"])
    assert (site.files, site.finish()) == (1, 1)
    assert files_of(tmp_path).keys() == {"a.html", MARKER}


def test_what_a_site_holds_is_told_by_its_bytes(tmp_path):
    build(tmp_path, {"a.html": b"a"})
    (tmp_path / "foreign.html").write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert SiteFolder(tmp_path).holds({"a.html": digest})
    assert not SiteFolder(tmp_path).holds({"a.html": digest, "foreign.html": digest})
    (tmp_path / "a.html").write_bytes(b"b")
    assert not SiteFolder(tmp_path).holds({"a.html": digest})


def test_a_damaged_marker_is_told(tmp_path):
    (tmp_path / MARKER).write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match=MARKER):
        SiteFolder(tmp_path)


def test_a_marker_cannot_name_files_outside(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "site" / MARKER).write_text(f"{HEADER}\n../kept\n{tmp_path}/kept\n")
    assert build(tmp_path / "site", {}) == (0, 0)
    assert (tmp_path / "kept").exists()


pages = st.dictionaries(st.sampled_from(["a.html", "b/c.html", "b/d.html", "e/f/g.html"]), st.binary(max_size=2))


@given(st.lists(pages, min_size=1, max_size=4))
def test_after_any_builds_the_site_holds_what_the_last_one_made(tmp_path_factory, builds):
    folder = tmp_path_factory.mktemp("site")
    for made in builds:
        build(folder, made)
    found = files_of(folder)
    del found[MARKER]
    assert found == builds[-1]
