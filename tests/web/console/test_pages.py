"""What is served to the browser: open to everybody, from here only, and loaded once."""

import gzip
import re

import pytest

from gateway.web.console.files import FOLDER, static_files
from tests.harness.app import House

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def test_the_page_runs_nothing_inline_and_loads_nothing_from_elsewhere(house: House):
    page = house.ask("GET", "/")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?://", page.text)


def test_all_that_the_page_names_is_there(house: House):
    named = re.findall(r'(?:src|href)="(console/[^"]+)"', house.ask("GET", "/").text)
    assert {name.rpartition("/")[2] for name in named} == {path.name for path in FOLDER.iterdir()}
    for name in named:
        file = house.ask("GET", f"/{name}")
        assert file.status_code == 200
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert file.headers["Content-Security-Policy"] == POLICY
        imported = re.findall(r'from "\./([\w.]+)"', file.text) if name.endswith(".js") else []
        assert set(imported) <= set(static_files().files)


def test_files_come_packed_to_those_who_can_unpack_them(house: House):
    path = f"/console/{static_files().version}/app.js"
    packed = house.ask("GET", path, Accept_Encoding="gzip, deflate, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == (FOLDER / "app.js").read_bytes()
    plain = house.ask("GET", path, Accept_Encoding="identity")
    assert plain.data == (FOLDER / "app.js").read_bytes()
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_what_a_browser_has_already_is_not_sent_again(house: House):
    page = house.ask("GET", "/")
    assert page.headers["Cache-Control"] == "no-cache"
    assert house.ask("GET", "/", If_None_Match=page.headers["ETag"]).status_code == 304


def test_a_page_of_another_version_is_served_but_not_kept(house: House):
    file = house.ask("GET", "/console/0123456789abcdef/app.js")
    assert file.status_code == 200
    assert file.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["missing.js", "..%2Fpages.py", "%2e%2e%2ffiles.py", "__init__.py"])
def test_there_are_no_other_files(house: House, name: str):
    assert house.error(404, "GET", f"/console/{static_files().version}/{name}")["code"] == "not_found"


def test_the_page_and_its_files_are_small():
    """What a first visit loads, packed."""
    assert sum(len(file.packed) for file in static_files().files.values()) < 50_000


def test_nothing_in_the_page_can_put_in_markup():
    for path in FOLDER.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text()
        )
