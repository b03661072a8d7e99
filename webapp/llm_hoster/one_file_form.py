"""A form that brings one file, written where it is kept while it comes: never whole in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from llm_hoster.errors import HTTPError

# What the form around the file may take; not less than the parser reads at a time.
FORM_BYTES_MAX = 2**20
FORM_PARTS_MAX = 10


@dataclass(frozen=True)
class OneFileForm:
    """`too_large` and `several_files` are what is said of a form that has either."""

    file_bytes_max: int
    too_large: str
    several_files: str

    def require_length(self, request: Request) -> None:
        """Refuse by the length that the request names, before a byte is kept."""
        request.max_content_length = self.file_bytes_max + FORM_BYTES_MAX
        if (request.content_length or 0) > request.max_content_length:
            raise self._too_large()

    def read(self, request: Request, content: IO[bytes]) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Write the file to `content`, whose end is where it stands then; give the form's fields, and its files."""
        has_begun = False

        def begin(*_: object, **__: object) -> IO[bytes]:
            nonlocal has_begun
            if has_begun:
                raise HTTPError(400, self.several_files, code="several_files")
            has_begun = True
            return content

        parser = FormDataParser(begin, max_form_memory_size=FORM_BYTES_MAX, max_form_parts=FORM_PARTS_MAX)
        try:
            _, fields, files = parser.parse(
                request.stream, request.mimetype, request.content_length, request.mimetype_params
            )
        except RequestEntityTooLarge as error:
            raise self._too_large() from error
        if content.seek(0, 2) > self.file_bytes_max:
            raise self._too_large()
        return fields, files

    def _too_large(self) -> HTTPError:
        return HTTPError(413, self.too_large, code="file_too_large")
