"""Why a file is not taken: a reason, and the sentences that tell it with what helps."""

from __future__ import annotations

from typing import Literal

from llm_hoster.attachments.bounds import (
    FILE_MAX_BYTES,
    PDF_MAX_PAGES,
    PICTURE_MAX_PIXELS,
    READING_S,
    TEXT_MAX_CHARACTERS,
)
from llm_hoster.errors import AttachmentError

TAKEN = (
    "Text and code, CSV, PDF, Word (.docx) and pictures (PNG, JPEG, WebP, GIF) can be attached, "
    f"each of at most {FILE_MAX_BYTES // 1_000_000} MB."
)

Reason = Literal[
    "empty",
    "too_large",
    "too_much_text",
    "not_text",
    "old_office",
    "other_archive",
    "damaged",
    "too_slow",
    "too_much_memory",
    "busy",
    "no_text",
    "pdf_locked",
    "pdf_pages",
    "picture_damaged",
    "picture_pixels",
    "no_pictures",
    "gone",
    "kept_damaged",
    "disk_full",
    "not_kept",
    "no_room",
    "path_relative",
    "path_missing",
    "path_denied",
    "path_folder",
    "path_no_folder",
    "path_no_file",
    "path_loop",
    "path_failed",
]

SENTENCES: dict[Reason, str] = {
    "empty": '"{name}" is empty. Attach a file that has something in it.',
    "too_large": f'"{{name}}" is too large. {TAKEN} Attach a part of it.',
    "too_much_text": (
        f'"{{name}}" has more than {TEXT_MAX_CHARACTERS:,} characters of text, which no model here can read at once. '
        "Attach a part of it."
    ),
    "not_text": f'"{{name}}" is of a kind that cannot be read here. {TAKEN}',
    "old_office": (
        '"{name}" is a Word, Excel or PowerPoint file in the old format or with a password, which cannot be read here. '
        "Save it as .docx, CSV or PDF without a password and attach that."
    ),
    "other_archive": (
        f'"{{name}}" is an archive or an office file other than Word, which cannot be read here. {TAKEN} '
        "Attach a spreadsheet as CSV, slides as PDF, and the files of an archive one by one."
    ),
    "damaged": '"{name}" is damaged or incomplete and cannot be read. Save it again, or as text, and attach that.',
    "too_slow": (
        f'"{{name}}" could not be read within {READING_S} seconds. Attach fewer of its pages, or its text alone.'
    ),
    "too_much_memory": ('"{name}" needs too much memory to be read. Attach fewer of its pages, or its text alone.'),
    "busy": '"{name}" has not been read, because many files are being read at the moment. Try again in a minute.',
    "no_text": (
        '"{name}" has no text that can be read; perhaps its pages are scanned pictures. '
        "Attach a version with text, or the pages as pictures if the model can see them."
    ),
    "pdf_locked": '"{name}" is encrypted. Print it to a new PDF without a password and attach that.',
    "pdf_pages": f'"{{name}}" has {{pages:,}} pages; at most {PDF_MAX_PAGES:,} can be read. Attach a part of it.',
    "picture_damaged": '"{name}" is a picture whose size cannot be read: it is damaged. Save it again as PNG or JPEG.',
    "picture_pixels": (
        '"{name}" has {width:,} by {height:,} pixels, which is too many. '
        f"Make it smaller, to at most {PICTURE_MAX_PIXELS // 1_000_000} million pixels, and attach that."
    ),
    "no_pictures": '"{name}" is a picture, and this model reads text only. Remove it, or choose a model that can see.',
    "gone": '"{name}" is not kept any more. Attach it again.',
    "kept_damaged": '"{name}" was damaged on the disk after it had been attached. Attach it again.',
    "disk_full": '"{name}" was not kept, because the disk or your quota is full. Remove files that you do not need.',
    "not_kept": '"{name}" was not kept: {cause}. Try again, or tell the staff of the cluster.',
    "no_room": (
        '"{name}" was not kept: your attached files take {used:,} MB, and at most {most:,} MB are kept. '
        'Remove some of them under "Attached files", below the list of chats.'
    ),
    "path_relative": '"{path}" is not a whole path. Begin it with / or with ~/ for your home folder.',
    "path_missing": "There is no {path} on this node. Check how it is written.",
    "path_denied": "You may not read {path}: the cluster refuses it. Ask its owner, or choose another file.",
    "path_folder": "{path} is a folder. Choose a file in it.",
    "path_no_folder": "There is no {path}: a part of this path is a file and not a folder. Check how it is written.",
    "path_no_file": "{path} is a pipe, a socket or a device. Choose a file.",
    "path_loop": "{path} is a link that leads back to itself. Choose another file.",
    "path_failed": "{path} could not be read: {cause}. Try again, or copy the file elsewhere.",
}


def refusal(reason: Reason, **values: object) -> AttachmentError:
    """Make the error to raise; `values` fill the sentence, and must be fit to be shown."""
    return AttachmentError(SENTENCES[reason].format(**values), reason=reason, values=values)
