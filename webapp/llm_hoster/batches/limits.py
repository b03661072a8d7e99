"""How much may lie in a user's folder of batches, how large each piece may be, and for how long it is kept."""

from __future__ import annotations

# Of an uploaded file, and the lines in it: as OpenAI has them.
FILE_BYTES_MAX = 200 * 2**20
LINES_MAX = 50_000
# Of one line: as of one question that comes alone.
LINE_BYTES_MAX = 20 * 2**20
CUSTOM_ID_MAX = 512

# Of the folder, with the answers that are still being written.
FOLDER_BYTES_MAX = 2 * 2**30
FILES_MAX = 1000
BATCHES_MAX = 1000

# Others wait no longer for a thread of the web app than these uploads last.
UPLOADS_MAX = 8

DAY_S = 24 * 3600
HOUR_S = 3600
# How long a file and what is told of an ended batch are kept where nobody says otherwise, and the longest.
KEPT_S = 30 * DAY_S
KEPT_S_MIN = HOUR_S
