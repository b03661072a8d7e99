"""What is told of conversations that came in otherwise than they stood in the file, or not at all."""

from __future__ import annotations

from enum import Enum


class Remark(Enum):
    """Each with its sentence for one, and for several."""

    UNKNOWN = (
        "1 entry was left out: it is no chat of a kind that is known here.",
        "{count} entries were left out: they are no chats of a kind that is known here.",
    )
    EMPTY = (
        "1 chat was left out: it has no messages.",
        "{count} chats were left out: they have no messages.",
    )
    TOO_LARGE = (
        "1 chat was left out: it is too large.",
        "{count} chats were left out: they are too large.",
    )
    CUT = (
        "1 text has more than 1,000,000 characters and was cut there.",
        "{count} texts have more than 1,000,000 characters and were cut there.",
    )
    CIRCULAR = (
        "1 message stood after itself. It begins a branch of its own now.",
        "{count} messages stood after themselves. They begin branches of their own now.",
    )
    DAMAGED = (
        "1 message was left out: it cannot be read.",
        "{count} messages were left out: they cannot be read.",
    )
    HIDDEN = (
        "1 message of a tool or of hidden instructions was left out.",
        "{count} messages of tools or of hidden instructions were left out.",
    )
    FILES = (
        "1 attached file is named in its message, but is not in the export.",
        "{count} attached files are named in their messages, but are not in the export.",
    )
    DELETED = (
        "1 chat is among your deleted chats and was left there. Restore it if you want it back.",
        "{count} chats are among your deleted chats and were left there. Restore those that you want back.",
    )
    SETTINGS = (
        "The settings of 1 chat were left out: they are too large.",
        "The settings of {count} chats were left out: they are too large.",
    )

    def sentence(self, count: int) -> str:
        one, several = self.value
        return one if count == 1 else several.format(count=f"{count:,}")


class Ending(Enum):
    """Why an import ended before the end of its file, in a sentence."""

    BROKEN = "From some place on the file is not whole or not JSON. What came before that place is here."
    NOTHING = "The file is not JSON. An export of this chat, of ChatGPT or of Open WebUI is a file in JSON."
    TOO_MANY = "The file has more chats than can be brought in at once. What came before these is here."
    TOO_NEW = (
        "The file was written by a later version of this chat. Import it there, or export it from there as Markdown."
    )
    BOMB = "Unpacked, the archive is far too large. What came before that is here."
    ARCHIVE = "The archive cannot be read. Unpack it yourself and import its conversations.json."
    NO_CONVERSATIONS = "There is no conversations.json in the archive. Unpack it, and import the file with the chats."
    DISK = "The disk takes no more. Make room, and import the file again: what is here already does not come twice."
    SESSION = "The session ended. Import the file again: what is here already does not come twice."
    FAULT = "Something went wrong here; web.log of the session says what."
