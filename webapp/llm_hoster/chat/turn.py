"""A question and the reply to it that is about to be written: a new one, one in other words, or one more reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.tree import Tree


@dataclass
class Turn:
    """
    `earlier` is the branch before the question. Where the reply begins with text, the model is to go on from it.

    `rival` is a second reply to a new question, to be compared with the first.
    """

    earlier: list[Message]
    question: Message
    reply: Message
    is_question_new: bool = field(default=True)
    rival: Message | None = None

    @property
    def replies(self) -> list[Message]:
        return [self.reply] if self.rival is None else [self.reply, self.rival]

    def with_rival(self) -> Turn:
        """Ask for two replies."""
        return replace(self, rival=Message(self.reply.conversation_id, "assistant", state="running"))

    def write(self, store: ConversationStore, key_id: str) -> None:
        """Raise LookupError where the conversation is somebody else's, and sqlite3.Error where it cannot be saved."""
        if self.is_question_new:
            store.add_turn(self.question, self.reply, key_id, self.rival)
        else:
            store.add_reply(self.reply, key_id)


def next_turn(conversation_id: str, branch: list[Message], text: str, attachments: Sequence[Attachment] = ()) -> Turn:
    """Ask at the end of what is shown."""
    parent_id = branch[-1].id if branch else None
    return _ask(branch, Message(conversation_id, "user", text, parent_id=parent_id, attachments=list(attachments)))


def edited_turn(tree: Tree, edited: Message, text: str, attachments: Sequence[Attachment] = ()) -> Turn:
    """Ask a question in other words: it stands beside the former one, with what came before that."""
    question = Message(edited.conversation_id, "user", text, parent_id=edited.parent_id, attachments=list(attachments))
    return _ask(_before(tree, edited), question)


def repeated_turn(tree: Tree, former: Message, *, goes_on: bool = False) -> Turn:
    """
    Ask once more what a reply has answered; the new reply stands beside it, and `goes_on` where the answer of the
    former one ended, if it had begun.

    Raise LookupError where the question is lost.
    """
    question = tree.find(former.parent_id or "")
    if question is None or question.role != "user":
        raise LookupError(former.id)
    reply = Message(former.conversation_id, "assistant", state="running", parent_id=question.id)
    if goes_on and former.content:
        reply.content, reply.reasoning = former.content, former.reasoning
        reply.reasoning_s, reply.model = former.reasoning_s, former.model
    return Turn(_before(tree, question), question, reply, is_question_new=False)


def _ask(earlier: list[Message], question: Message) -> Turn:
    return Turn(earlier, question, Message(question.conversation_id, "assistant", state="running"))


def _before(tree: Tree, message: Message) -> list[Message]:
    return [] if message.parent_id is None else tree.branch(message.parent_id)
