"""The fields of the two YAML files that say where models come from and what of them may run."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.errors import ConfigError
from tests.catalogue.small_site import MODELS, SITE, changed, write_small


def test_program_code_of_a_model_runs_only_where_its_entry_says_so(tmp_path: Path) -> None:
    path = write_small(tmp_path)
    assert not compile_catalogue(path, None, tmp_path)[1].models[0].trust_remote_code
    write_small(tmp_path, models=MODELS + "    trust_remote_code: true\n")
    assert compile_catalogue(path, None, tmp_path)[1].models[0].trust_remote_code


@pytest.mark.parametrize(
    "argument", ["--trust-remote-code", "--trust_remote_code", "--trust-remote-code=1", "--trust-rem"]
)
def test_arguments_may_not_ask_for_it(tmp_path: Path, argument: str) -> None:
    write_small(tmp_path, models=MODELS + f'    args: ["--max-num-seqs2", "{argument}"]\n')
    with pytest.raises(ConfigError, match=r"args: found .*trust.*, expected `trust_remote_code: true` in the entry"):
        compile_catalogue(tmp_path / "site.yml", None, tmp_path)
    engine = '{name: "e", kind: "venv", accelerator: "cuda"}'
    site = changed(SITE, engine, engine.replace("}", f', args: ["{argument}"]}}'))
    write_small(tmp_path, site)
    with pytest.raises(ConfigError, match=r"engines\[0\]\.args: found .*trust"):
        compile_catalogue(tmp_path / "site.yml", None, tmp_path)


def test_an_argument_that_only_begins_like_it_is_none(tmp_path: Path) -> None:
    path = write_small(tmp_path, models=MODELS + '    args: ["--trust-request-chat-template"]\n')
    assert compile_catalogue(path, None, tmp_path)[1].models[0].args == ["--trust-request-chat-template"]


def test_the_folder_of_shared_models_is_seen_from_site_yml(tmp_path: Path) -> None:
    path = write_small(tmp_path)
    assert compile_catalogue(path, None, tmp_path)[1].site.shared_models is None
    for written, found in (
        ("/shared/hub", "/shared/hub"),
        ("$SW/hub", "$SW/hub"),
        ("../hub", f"{tmp_path.parent}/hub"),
    ):
        write_small(tmp_path, SITE + f'shared_models: "{written}"\n')
        assert compile_catalogue(path, None, tmp_path)[1].site.shared_models == found


def test_a_model_for_embeddings_can_be_offered(tmp_path: Path) -> None:
    path = write_small(tmp_path, models=MODELS + '    task: "embed"\n')
    catalogue = compile_catalogue(path, None, tmp_path)[1]
    assert catalogue.models[0].task == "embed"
    assert catalogue.verdict("m", "g", "1", "none/interactive").fits
