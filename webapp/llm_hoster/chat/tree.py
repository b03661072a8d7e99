"""
A conversation's messages as a tree: each stands after another one, and one path from the root is shown.

What came from several jobs may lack a node or name one that is not there; then the next best is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from llm_hoster.chat.message import Message


@dataclass(frozen=True)
class Siblings:
    """Which of `count` a message is, from 1, and the ids of its neighbours."""

    position: int
    count: int
    before: str | None
    after: str | None


class Tree:
    def __init__(self, messages: Iterable[Message]) -> None:
        ordered = sorted(messages, key=lambda message: (message.created_at, message.id))
        self._messages = {message.id: message for message in ordered}
        self._children: defaultdict[str | None, list[str]] = defaultdict(list)
        for message in ordered:
            self._children[self._parent_of(message)].append(message.id)

    def find(self, message_id: str) -> Message | None:
        return self._messages.get(message_id)

    def branch(self, leaf_id: str | None) -> list[Message]:
        """Give the path from the root to a message; to the newest where that one is not here."""
        path: dict[str, Message] = {}
        message = self._messages.get(leaf_id or "") or next(reversed(self._messages.values()), None)
        while message is not None and message.id not in path:
            path[message.id] = message
            message = self._messages.get(message.parent_id or "")
        return list(reversed(path.values()))

    def choices(self, branch: list[Message]) -> list[Message]:
        """Give the replies to the question with which a branch ends, where they are several: nobody has chosen yet."""
        if not branch or branch[-1].role != "user":
            return []
        replies = [self._messages[each] for each in self._children[branch[-1].id]]
        return replies if len(replies) > 1 else []

    def whole_branch(self, leaf_id: str | None) -> list[Message]:
        """Give a branch with the first good one of its choices."""
        branch = self.branch(leaf_id)
        choices = self.choices(branch)
        good = [message for message in choices if message.state != "failed"]
        return branch + (good or choices)[:1]

    @property
    def models(self) -> set[str]:
        """Name those that have written replies."""
        return {message.model for message in self._messages.values() if message.model}

    def siblings(self, message: Message) -> Siblings:
        """Say where a message stands among those after the same parent, the oldest first."""
        ids = self._children[self._parent_of(message)]
        index = ids.index(message.id)
        return Siblings(
            position=index + 1,
            count=len(ids),
            before=ids[index - 1] if index > 0 else None,
            after=ids[index + 1] if index + 1 < len(ids) else None,
        )

    def siblings_of(self, messages: Iterable[Message]) -> dict[str, Siblings]:
        """Say it by id of those that are not alone."""
        found = {message.id: self.siblings(message) for message in messages if message.id in self._messages}
        return {message_id: siblings for message_id, siblings in found.items() if siblings.count > 1}

    def newest_leaf(self, message_id: str) -> str:
        """
        Name the end of the branch through a message that was written last.

        Where that is a reply that has failed, and another to the same question has not, it is the end of that one's.
        """
        leaves, waiting, seen = [], [message_id], {message_id}
        while waiting:
            each = waiting.pop()
            children = [child for child in self._children[each] if child not in seen]
            seen.update(children)
            waiting += children
            if not children:
                leaves.append(each)
        newest = max(leaves, key=lambda leaf: (self._messages[leaf].created_at, leaf))
        good = self._good_beside(newest) if newest != message_id else None
        return newest if good in {None, message_id} else self.newest_leaf(good)

    def _good_beside(self, message_id: str) -> str | None:
        """Name the newest of those after the same parent that have not failed, where a message has."""
        message = self._messages[message_id]
        beside = self._children[self._parent_of(message)] if message.state == "failed" else []
        return next((each for each in reversed(beside) if self._messages[each].state != "failed"), None)

    def _parent_of(self, message: Message) -> str | None:
        return message.parent_id if message.parent_id in self._messages else None
