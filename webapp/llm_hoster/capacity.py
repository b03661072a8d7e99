"""How much one web app takes at the same time, and how that is shared."""

from __future__ import annotations

import resource

# A connection takes up to three files: its own, one to vLLM, and one for a large body. Where `accept` finds none left,
# gunicorn's worker ends and takes every running reply with it; over this number connections just wait. `serve` raises
# the limit, so that fewer than 512 is for nodes that allow very little.
CONNECTIONS = min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)

# A request holds one thread until its answer begins, a stream of events none after that, and an open page none. A reply
# that a page reads holds one to its end. Threads that wait cost little.
THREADS = CONNECTIONS // 2

# Requests of programs: all of them leave some threads to the pages, one address leaves some to others, and one key
# leaves some to the other keys of its address.
REQUESTS_MAX = THREADS * 90 // 100
REQUESTS_PER_ADDRESS_MAX = THREADS * 86 // 100
REQUESTS_PER_KEY_MAX = THREADS * 82 // 100
