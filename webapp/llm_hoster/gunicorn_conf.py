"""gunicorn's configuration for one session. `serve` gives the socket; https://docs.gunicorn.org explains each name."""

from typing import Any

from llm_hoster.capacity import CONNECTIONS, THREADS

# One process: a reply that is being written lives in its memory, where a reloaded page finds it again.
workers = 1
worker_class = "llm_hoster.gunicorn_worker.HeadFirstWorker"

worker_connections = CONNECTIONS
threads = THREADS

# Time for pages to be answered after SIGTERM; the supervisor gives 5 s to all.
graceful_timeout = 2
keepalive = 15

# Python's import of the app takes the time; the worker need not repeat it.
preload_app = False

# The supervisor keeps both in web.log. Neither query nor headers are written: they may name a secret.
accesslog = "-"
errorlog = "-"
loglevel = "info"
logger_class = "llm_hoster.gunicorn_log.AccessLog"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'

# The worker's heartbeat is a file; on a network file system it would stall the pages.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks it at once

# Nothing outside may steer gunicorn.
control_socket_disable = True


def worker_exit(_: Any, worker: Any) -> None:
    """Close the history: the next session sees by the file that nobody writes it any more."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["llm_hoster"]["store"].close()
