"""Processes, folders, sockets and shared memory of a session on its node."""
