"""How much of a file is taken. Sentences name these numbers."""

from __future__ import annotations

FILE_MAX_BYTES = 20_000_000
# Some 500,000 tokens of English: more than nearly every model can read.
TEXT_MAX_CHARACTERS = 2_000_000
PDF_MAX_PAGES = 1_000
# Above it, vLLM's Pillow warns of a bomb; a phone's camera makes 12 to 50 million.
PICTURE_MAX_PIXELS = 80_000_000
WORD_XML_MAX_BYTES = 50_000_000

# A table that is longer is told by its first rows.
TABLE_WHOLE_MAX_CHARACTERS = 40_000
TABLE_HEAD_ROWS = 50
TABLE_HEAD_CHARACTERS = 10_000

# Of the process that reads PDF and Word: pypdf takes 20 ms for a page of a paper, and 60 MB.
READING_S = 20
READING_MEMORY_BYTES = 768 * 1024 * 1024
# Files that are read at once, and how long others wait for their turn.
READERS = 2
TURN_S = 60

# Of one message; each costs a read when it is sent.
FILES_MAX = 10
# What is kept for the owner, and for each guest: the disk and the quota are the owner's.
KEPT_MAX_BYTES = 2_000_000_000
GUEST_KEPT_MAX_BYTES = 200_000_000
# Files that are on their way at once: each is in memory.
UPLOADS = 4
