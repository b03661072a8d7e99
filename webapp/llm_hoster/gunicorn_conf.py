"""gunicorn's configuration for one session. `serve` gives the socket; https://docs.gunicorn.org explains each name."""

import resource

# One process: a reply that is being written lives in its memory, where a reloaded page finds it again.
workers = 1
worker_class = "gthread"

# A connection takes up to three files: its own, one to vLLM, and one for a large body. Where `accept` finds none left,
# gunicorn's worker ends and takes every running reply with it; over this number connections just wait. `serve` raises
# the limit, so that fewer than 512 is for nodes that allow very little.
worker_connections = min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)

# A stream holds one thread from the first to the last token, an open page none. Threads that wait cost little.
threads = worker_connections // 2

# Time for pages to be answered after SIGTERM; the supervisor gives 5 s to all.
graceful_timeout = 2
keepalive = 15

# Python's import of the app takes the time; the worker need not repeat it.
preload_app = False

# The supervisor keeps both in web.log. Neither query nor headers are written: they may name a secret.
accesslog = "-"
errorlog = "-"
loglevel = "info"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'

# The worker's heartbeat is a file; on a network file system it would stall the pages.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks it at once

# Nothing outside may steer gunicorn.
control_socket_disable = True
