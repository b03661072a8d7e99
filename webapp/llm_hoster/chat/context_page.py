"""What a chat's page shows of its context, and what is found out before a question is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from flask import Flask, current_app, g

from llm_hoster.chat.context import ContextUse, characters, context_use
from llm_hoster.chat.conversation_settings import ConversationSettings
from llm_hoster.chat.cut import Cut, Cuts
from llm_hoster.chat.engine_request import ContentOf, engine_request, messages_for_engine
from llm_hoster.chat.message import Conversation, Message
from llm_hoster.chat.question_content import branch_reader, content_reader, documents_for, sized_reader
from llm_hoster.chat.summaries import Summaries, Summary
from llm_hoster.chat.token_counter import Count, TokenCounter
from llm_hoster.chat.turn import Turn
from llm_hoster.current import current_engine_state, current_recorder, current_settings, current_store
from llm_hoster.errors import HTTPError

COUNTER, SUMMARIES = "llm_hoster_token_counter", "llm_hoster_summaries"
DOES_NOT_FIT = (
    "This does not fit: with what came before it has {tokens:,} tokens, and the model can read {limit:,}. "
    "Choose below what it shall leave out, or send a shorter message."
)
TOO_LONG_ALONE = "This message alone has {tokens:,} tokens, and the model can read {limit:,} at once. Shorten it."


@dataclass(frozen=True)
class ChatContext:
    """Of the branch that is shown. `conversation` is None before the first question."""

    conversation: Conversation | None = None
    branch: list[Message] = field(default_factory=list)
    cuts: Cuts = field(default_factory=Cuts)
    use: ContextUse = field(default_factory=ContextUse)
    summary: Summary | None = None
    settings: ConversationSettings = field(default_factory=ConversationSettings)

    @property
    def cut(self) -> Cut | None:
        return self.cuts.on(self.branch)

    @property
    def former(self) -> Conversation | None:
        """Find the chat that this one goes on from."""
        cut = self.cut
        return current_store().find_conversation(cut.former_id, g.visitor.id) if cut and cut.former_id else None


def init_app(app: Flask) -> None:
    with app.app_context():
        app.extensions[COUNTER] = TokenCounter(current_settings())
        app.extensions[SUMMARIES] = Summaries(current_settings(), current_recorder())
    app.context_processor(lambda: {"chat_context": chat_context})


def current_counter() -> TokenCounter:
    return cast(TokenCounter, current_app.extensions[COUNTER])


def current_summaries() -> Summaries:
    return cast(Summaries, current_app.extensions[SUMMARIES])


def current_reader(branch: Sequence[Message]) -> ContentOf:
    """Give what gives a question of a branch with its files as the engine reads them."""
    return branch_reader(current_settings(), current_engine_state(), g.visitor.id, branch)


def chat_context(conversation_id: str) -> ChatContext:
    """Look once for a page, which shows it in several places."""
    known = g.get("chat_contexts", {})
    if conversation_id not in known:
        conversation = current_store().find_conversation(conversation_id, g.visitor.id)
        branch = current_store().messages(conversation_id, g.visitor.id) if conversation else []
        remember_branch(conversation_id, conversation, branch)
    return cast(ChatContext, g.chat_contexts[conversation_id])


def remember_branch(conversation_id: str, conversation: Conversation | None, branch: list[Message]) -> None:
    """Spare `chat_context` the reading of what a view has read."""
    kept = conversation.settings if conversation else current_store().settings_of(conversation_id, g.visitor.id)
    cuts, settings = Cuts.from_json(kept), ConversationSettings.from_json(kept)
    limit = current_counter().known_limit(current_engine_state())
    use = context_use(branch, cuts, sized_reader(branch, limit), limit, reply_tokens(settings))
    summary = current_summaries().find(conversation_id, g.visitor.id)
    g.setdefault("chat_contexts", {})[conversation_id] = ChatContext(conversation, branch, cuts, use, summary, settings)


def counted(context: ChatContext) -> ChatContext:
    """Have the engine count where its last reply does not tell, and where it has not told its limit."""
    state = current_engine_state()
    if context.use.is_exact:
        return replace(context, use=replace(context.use, limit=current_counter().limit(state)))
    # As the next question will find it: one that got no reply is not sent again.
    told = messages_for_engine(
        [*context.cuts.read_part(context.branch), Message("", "user")], current_reader(context.branch)
    )
    count = count_messages(context, told)
    if count is None:
        return replace(context, use=replace(context.use, limit=current_counter().limit(state)))
    size = characters(told)
    ratio = context.use.characters_per_token if count.tokens < 50 else min(8.0, max(1.0, size / count.tokens))
    tokens = count.tokens if size else 0
    use = replace(context.use, tokens=tokens, is_exact=True, limit=count.limit, characters_per_token=ratio)
    return replace(context, use=use)


def count_messages(context: ChatContext, told: list[dict[str, Any]]) -> Count | None:
    """Count them with what the model is told first in this conversation."""
    settings = context.settings
    return current_counter().count(
        current_engine_state(), settings.first_messages() + told, **settings.template_fields()
    )


def require_room(turn: Turn) -> None:
    """
    Refuse a question that the engine would refuse, before anything of it is written.

    This stands before the first token: the engine is asked for its count only where a guess says that it does not fit.
    A wrong guess does no harm: then the engine refuses, and the page offers the same.
    """
    limit = current_counter().known_limit(current_engine_state())
    if limit is None:
        return
    kept = current_store().settings_of(turn.question.conversation_id, g.visitor.id)
    cuts, settings = Cuts.from_json(kept), ConversationSettings.from_json(kept)
    sized = sized_reader([*turn.earlier, turn.question], limit)
    use = context_use(turn.earlier, cuts, sized)
    asked = characters(messages_for_engine([turn.question], sized)) + len(turn.reply.content)
    answer = max(1, reply_tokens(settings))
    if use.tokens + asked / use.characters_per_token + answer <= limit:
        return
    read = replace(turn, earlier=cuts.read_part(turn.earlier))
    documents = documents_for(current_settings(), current_engine_state(), g.visitor.id, read)
    content_of = content_reader(current_settings(), current_engine_state(), g.visitor.id, read, documents)
    told = engine_request(read, settings, content_of)["messages"]
    count = current_counter().count(current_engine_state(), told, **settings.template_fields())
    if count is not None and count.tokens + answer > count.limit:
        message = (DOES_NOT_FIT if read.earlier else TOO_LONG_ALONE).format(tokens=count.tokens, limit=count.limit)
        raise HTTPError(413, message, code="context_full")


def reply_tokens(settings: ConversationSettings) -> int:
    """Give what a reply may have at most, where people have set that."""
    return int(settings.request_fields().get("max_tokens", 0))
