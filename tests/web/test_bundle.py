"""The page's modules and style sheets, put together."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

import llm_hoster
from llm_hoster.bundle import bundle_modules
from tests.web_session import MakeClient

STATIC = Path(llm_hoster.__file__).parent / "static"


def modules(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)
    return folder


def run(script: str) -> str:
    command = ["node", "--input-type=module", "--eval", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_names_of_modules_do_not_meet(tmp_path: Path) -> None:
    folder = modules(
        tmp_path,
        app='import { both } from "./b.js";\nimport { Word, count } from "./a.js";\n'
        "const words = 3;\nconsole.log(both(), words, new Word().text, count());\n",
        a="let words = 0;\nexport class Word { text = `a${words}`; }\n"
        "export function count() {\n  return ++words;\n}\n",
        b='import { count, Word } from "./a.js";\nconst words = [count(), count()];\nexport function both() {\n'
        "  return words.join();\n}\n",
    )
    script = bundle_modules(folder)
    assert run(script) == "1,2 3 a2 3\n"
    assert script.count("// a.js") == 1


@pytest.mark.parametrize(
    "text",
    ['import * as a from "./a.js";\n', 'import { count as c } from "./a.js";\n', "export const a = 1;\n",
     "export default 1;\n", 'import "./a.js";\n', 'import { a } from "./app.js";\n'],
)  # fmt: skip
def test_what_it_cannot_put_together_it_refuses(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"^app\.js"):
        bundle_modules(modules(tmp_path, app=text, a="export function count() {}\n"))


def test_what_is_loaded_later_shares_no_module_with_the_page() -> None:
    """There would be two of it, each with its own state."""
    later = set(re.findall(r'import\("\./(\w+)\.js"\)', bundle_modules(STATIC)))
    assert later == {"code_block", "maths"}
    for name in later:
        assert not re.search(r'^import .* from "\./\w+\.js"', (STATIC / f"{name}.js").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "mimetype"), [("page.js", "text/javascript"), ("page.css", "text/css")])
def test_they_are_kept_by_browsers_as_files_are(make_client: MakeClient, name: str, mimetype: str) -> None:
    client = make_client()
    with client.get(f"/static/{name}") as response, client.get("/static/app.css") as file:
        assert (response.status_code, response.mimetype) == (200, mimetype)
        assert response.headers["Cache-Control"] == file.headers["Cache-Control"]
    with client.get(f"/static/{name}", headers={"If-None-Match": response.headers["ETag"]}) as again:
        assert (again.status_code, again.data) == (304, b"")


def test_the_page_asks_for_few_files(make_client: MakeClient) -> None:
    files = re.findall(r'(?:src|href)="[^"]*/static/([^"]+)"', make_client().get("/").text)
    assert sorted(files) == ["icon.svg", "page.css", "page.js"]


@pytest.mark.parametrize("name", ["page.js", "page.css"])
def test_what_every_page_loads_comes_in_a_third_of_the_bytes_to_who_takes_that(
    make_client: MakeClient, name: str
) -> None:
    client = make_client()
    plain = client.get(f"/static/{name}")
    small = client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip, br"})

    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == plain.data
    assert len(small.data) < 0.4 * len(plain.data)
    # Caches between tell the two apart, and each is asked for once.
    assert plain.headers["Vary"] == small.headers["Vary"] == "Accept-Encoding"
    again = {"Accept-Encoding": "gzip", "If-None-Match": small.headers["ETag"]}
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert client.get(f"/static/{name}", headers=again).status_code == 304


def test_who_refuses_gzip_gets_none(make_client: MakeClient) -> None:
    answer = make_client().get("/static/page.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in answer.headers
