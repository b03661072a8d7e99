"""The chat: conversations on disk, replies that belong to the server, and their pages."""
