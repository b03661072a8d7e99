"""The shared compiled code: filled, taken over once, and refused where others could have written it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_hoster.engine.model.compile_cache import (
    VARIABLES,
    CompileCache,
    CompileCacheSeed,
    UnsafeCacheError,
    publish,
    require_safe,
)
from llm_hoster.engine.vllm.command import CACHE_FOLDERS
from tests.engine.conftest import wait_until

COMPILED = "torch_compile_cache/torch_aot_compile/abc/rank_0_0/model"
NAMES = ("engine-1", "a100", "tiny")


def make_cache(tmp_path: Path, user: str = "user") -> CompileCache:
    cache_dir, prefix = tmp_path / user, tmp_path / "prefix"
    prefix.mkdir(exist_ok=True, mode=0o755)
    return CompileCache.of(*NAMES, cache_dir=cache_dir, prefix=prefix, runtime_dir=tmp_path / "runtime")


def fill(tmp_path: Path, text: str = "code", name: str = COMPILED) -> CompileCache:
    """Leave what vLLM leaves, and publish it; return somebody else's cache."""
    installing = make_cache(tmp_path, f"installing {text}")
    environment = installing.variables({})
    path = Path(environment["VLLM_CACHE_ROOT"]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    library = Path(environment["TRITON_CACHE_DIR"]) / "kernel.so"
    library.parent.mkdir(exist_ok=True)
    library.write_text("library")
    library.chmod(0o700)
    publish(installing.shared, environment, f"made of {text} {name}")
    return make_cache(tmp_path)


def test_every_compiler_writes_below_the_users_own_folder(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    variables = cache.variables({"TRITON_CACHE_DIR": "/site"})

    assert cache.own == tmp_path / "user" / "compiled" / "engine-1" / "a100"
    assert {Path(folder).parent for folder in variables.values()} == {cache.own}
    assert variables.keys() == VARIABLES.keys() - {"TRITON_CACHE_DIR"}
    assert VARIABLES.keys() <= CACHE_FOLDERS.keys()
    assert all(
        folder.stat().st_mode & 0o777 == 0o700 for folder in (cache.own, cache.own.parent, cache.own.parent.parent)
    )


def test_what_was_published_is_taken_over_once(tmp_path: Path) -> None:
    cache = fill(tmp_path)

    done = cache.seed()

    assert done is not None and done.startswith("compiled code was taken over (0 MiB in ")
    assert (cache.own / "vllm" / COMPILED).read_text() == "code"
    assert (cache.own / "vllm" / COMPILED).stat().st_mode & 0o777 == 0o600
    assert (cache.own / "triton" / "kernel.so").stat().st_mode & 0o777 == 0o700
    assert cache.seed() is None
    assert sorted(path.name for path in cache.own.iterdir()) == [".seeded", "triton", "vllm"]


def test_what_is_published_later_is_added_and_nothing_of_ones_own_is_replaced(tmp_path: Path) -> None:
    cache = fill(tmp_path)
    (cache.own / "vllm" / COMPILED).parent.mkdir(parents=True)
    (cache.own / "vllm" / COMPILED).write_text("mine")
    cache.seed()
    fill(tmp_path, "second", "torch_compile_cache/second")

    assert cache.seed() is not None

    assert (cache.own / "vllm" / COMPILED).read_text() == "mine"
    assert (cache.own / "vllm" / "torch_compile_cache" / "second").read_text() == "second"
    assert (cache.shared / "vllm" / COMPILED).read_text() == "code"


def test_without_a_shared_cache_nothing_is_done(tmp_path: Path) -> None:
    assert make_cache(tmp_path).seed() is None


def make_writable_file(shared: Path) -> None:
    (shared / "vllm" / COMPILED).chmod(0o664)


def make_writable_folder(shared: Path) -> None:
    (shared / "vllm").chmod(0o777)


def make_writable_parent(shared: Path) -> None:
    shared.parent.chmod(0o775)


def make_link(shared: Path) -> None:
    (shared / "vllm" / COMPILED).unlink()
    (shared / "vllm" / COMPILED).symlink_to("/etc/passwd")


def make_linked_folder(shared: Path) -> None:
    (shared / "vllm").rename(shared.parent / "elsewhere")
    (shared / "vllm").symlink_to(shared.parent / "elsewhere")


def make_linked_whole(shared: Path) -> None:
    shared.rename(shared.parent / "elsewhere")
    shared.symlink_to(shared.parent / "elsewhere")


def make_pipe(shared: Path) -> None:
    (shared / "vllm" / COMPILED).unlink()
    os.mkfifo(shared / "vllm" / COMPILED)


@pytest.mark.parametrize(
    "spoil",
    [
        make_writable_file,
        make_writable_folder,
        make_writable_parent,
        make_link,
        make_linked_folder,
        make_linked_whole,
        make_pipe,
    ],
)
def test_what_others_could_have_written_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    cache = fill(tmp_path)
    spoil(cache.shared)

    with pytest.raises((UnsafeCacheError, OSError)):
        cache.seed()

    assert list(cache.own.iterdir()) == []


def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCacheError, match=f"belongs to user {os.getuid()}, expected one of "):
        require_safe(tmp_path.stat(), tmp_path, {os.getuid() + 1})


def test_a_folder_of_ones_own_that_others_can_write_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "user" / "compiled").mkdir(parents=True)
    (tmp_path / "user" / "compiled").chmod(0o777)

    cache = make_cache(tmp_path)

    assert cache.own == tmp_path / "runtime" / "compiled"
    assert "compiled code is not kept: " in capsys.readouterr().out


def test_vllm_does_not_wait_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = fill(tmp_path)
    seed = CompileCacheSeed(cache)

    seed.start(lambda: None)

    assert seed.is_done and seed.children == ()
    wait_until(lambda: (cache.own / ".seeded" / "tiny").exists())
    make_writable_file(fill(tmp_path, "again").shared)
    seed.start(lambda: None)
    said: list[str] = []
    wait_until(lambda: said.append(capsys.readouterr().out) or "is left alone: " in "".join(said))
