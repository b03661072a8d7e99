"""A list of conversations under the days on which they were last used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby

from llm_hoster.chat.message import Conversation
from llm_hoster.language import gettext as _


@dataclass(frozen=True)
class Group:
    """`heading` is empty where the group goes on with that of the page before."""

    heading: str
    conversations: list[Conversation] = field(default_factory=list)


def groups_of(conversations: Iterable[Conversation], today: date, after: Conversation | None = None) -> list[Group]:
    """Group what is listed in its order: the pinned first, then day by day. `after` ended the page before."""
    before = None if after is None else heading_of(after, today)
    groups = groupby(conversations, lambda each: heading_of(each, today))
    return [Group("" if heading == before else heading, list(members)) for heading, members in groups]


def heading_of(conversation: Conversation, today: date) -> str:
    if conversation.pinned:
        return _("Pinned")
    day = date.fromtimestamp(conversation.updated_at)
    if day >= today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    month = months()[day.month - 1]
    if day.year == today.year:
        return _("%(day)s %(month)s", day=day.day, month=month)
    return _("%(day)s %(month)s %(year)s", day=day.day, month=month, year=day.year)


def months() -> list[str]:
    return [
        _("January"), _("February"), _("March"), _("April"), _("May"), _("June"),
        _("July"), _("August"), _("September"), _("October"), _("November"), _("December"),
    ]  # fmt: skip
