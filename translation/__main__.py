"""`make languages`: collect the sentences of the pages into each language's file, and compile it."""

from __future__ import annotations

import sys

from translation.language_file import missing, mo_of, po_of, po_path, translations, updated


def main() -> int:
    """Say what still has no translation; the pages show it in English."""
    untold = 0
    for language in translations():
        catalog = updated(language)
        path = po_path(language)
        path.write_bytes(po_of(catalog))
        path.with_suffix(".mo").write_bytes(mo_of(catalog))
        for english in missing(catalog):
            untold += 1
            print(f"{path.name}: no translation of {english!r}")
    return 1 if untold else 0


if __name__ == "__main__":
    sys.exit(main())
