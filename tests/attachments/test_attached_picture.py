"""Pictures are told by their bytes and bounded by their header."""

from __future__ import annotations

import random

import pytest

from llm_hoster.attachments.picture import media_type_of
from llm_hoster.attachments.reading import read_content
from llm_hoster.errors import AttachmentError
from tests.attachments.made_files import gif, jpeg, png, webp

MAKERS = {"image/png": png, "image/gif": gif, "image/jpeg": jpeg, "image/webp": webp}


@pytest.mark.parametrize("media_type", MAKERS)
def test_a_picture_has_its_type_and_size(media_type: str) -> None:
    content = read_content(MAKERS[media_type](640, 48), "picture.txt")
    assert (content.form, content.media_type, content.width, content.height) == ("picture", media_type, 640, 48)
    assert content.pages == ()


def test_a_name_makes_no_picture() -> None:
    assert read_content(b"<svg onload='alert(1)'/>", "picture.png").form == "text"


@pytest.mark.parametrize(
    "data", [png(60_000, 60_000, rows=1), jpeg(65_000, 65_000), gif(30_000, 30_000), webp(16_000_000, 16_000_000)]
)
def test_a_picture_that_would_unfold_to_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(AttachmentError, match=r'"p" has [\d,]+ by [\d,]+ pixels, which is too many\. Make it smaller'):
        read_content(data, "p")


def test_a_torn_header_is_refused_in_a_sentence() -> None:
    """Every beginning of each kind, and each with bytes changed: a size or a sentence, never another error."""
    chance = random.Random(1)
    for make in MAKERS.values():
        whole = make(640, 48)
        for end in range(12, min(len(whole), 80)):
            for changed in range(3):
                data = bytearray(whole[:end])
                for _ in range(changed):
                    data[chance.randrange(8, end)] = chance.randrange(256)
                if media_type_of(bytes(data)) is None:
                    continue
                try:
                    read_content(bytes(data), "p")
                except AttachmentError as error:
                    assert error.reason in ("picture_damaged", "picture_pixels")


@pytest.mark.parametrize(("parts", "is_read"), [(300, True), (100_000, False)])
def test_a_header_of_endless_parts_is_given_up(parts: int, is_read: bool) -> None:
    data = jpeg(640, 48)
    data = data[:2] + b"\xff\xe0\x00\x02" * parts + data[2:]
    if is_read:
        assert read_content(data, "p").width == 640
    else:
        with pytest.raises(AttachmentError, match="whose size cannot be read"):
            read_content(data, "p")
