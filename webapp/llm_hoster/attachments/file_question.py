"""
What a question says of the files themselves: which of them it names, and whether it asks for the whole of them.

The words are those of English and German, the languages of the pages. A question in another one is searched for by all
its words, as is one that says nothing of its files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_hoster.words import UNSPACED, WORD, fold

NAME_WORD_MIN = 3
WHOLE = re.compile(
    r"summar\w*|overview|gist|tldr|both|all|each|every\w*|entire|whole|contents?|compare|comparison|"
    r"zusammen\w*|fasse?|uberblick|ubersicht|beide\w?|alle[mnrs]?|jede\w?|ganze\w?|inhalte?s?|vergleich\w*"
)
# Words that say nothing of what is looked for: they stand in every text, or speak of the answer.
COMMON = frozenset(
    fold(
        """
        a an the this that these those it its they them their he she i me my we us our you your and or but so then of in
        on at to for from with by about into as is are was were be been being am do does did have has had can could
        would should will shall may might must not no what which who whom whose when where why how there here please
        also just only some any else more most much many very one two three s t don doesn didn isn give make write tell
        say says said show explain describe discuss list differ differs difference differences between short brief
        briefly shortly long main key important point points idea ideas word words sentence sentences paragraph
        paragraphs bullet english german

        der die das den dem des ein eine einen einem einer eines dieser diese dieses diesen diesem und oder aber so dann
        von vom im in an am auf zu zum zur für mit bei über aus als ist sind war waren sein hat haben wird werden kann
        können soll sollen nicht kein keine was welche welcher welches wer wen wem wann wo warum wieso wie es er sie ihn
        ihr ihre wir uns unser ich mir mich mein du dir dich bitte auch nur noch mehr sehr kurz knapp gib mach schreib
        schreibe sag sage sagt sagen steht stehen zeig zeige erkläre beschreibe wort worte wörter wörtern satz sätze
        sätzen punkte punkten stichpunkte stichpunkten wichtig wichtigste wichtigsten unterschied unterschiede
        unterscheiden zwei drei deutsch englisch
        """
    ).split()
)
FILE_WORDS = frozenset(
    fold(
        """
        attached attachment attachments file files document documents paper papers article articles report reports text
        texts pdf pdfs angehängt angehängten anhang anhänge datei dateien dokument dokumente dokumenten texte texten
        artikel bericht berichte berichten
        """
    ).split()
)


@dataclass(frozen=True)
class FileQuestion:
    """
    `named` are the names of the files that it speaks of, and `is_whole` says whether it asks for all that is in them.

    `search` is what to look for in them: empty where it has no word that could be found.
    """

    named: frozenset[str]
    is_whole: bool
    search: str


def file_question(question: str, texts: Mapping[str, Sequence[str]]) -> FileQuestion:
    """Read a question about files; `texts` has what is in each, by its name."""
    spellings = WORD.findall(question)
    words = [fold(spelling) for spelling in spellings]
    is_whole = any(WHOLE.fullmatch(word) for word in words)
    named = {name for name in texts if f" {' '.join(_words(name))} " in f" {' '.join(words)} "}
    said = {word for name in named for word in _words(name)}
    sought = {word for word in set(words) - said - COMMON - FILE_WORDS if not WHOLE.fullmatch(word)}
    counts = Counter(word for name in texts for word in _name_words(name))
    for name in texts.keys() - named:
        own = {word for word in _name_words(name) if counts[word] == 1}
        met = {word for word in own if word in words or (UNSPACED.search(word) and word in fold(question))}
        # A word that other files have too is one of their subject, where it is asked for more than that.
        if met and (counts.keys() >= sought or not _stands_in(met, name, texts)):
            named.add(name)
            said |= met if is_whole and met == own else set()
    left = [spelling for spelling, word in zip(spellings, words, strict=True) if word in sought - said]
    if is_whole and all(map(str.isdigit, left)):
        left = []  # "in 200 words"
    search = " ".join(left) if named or is_whole or not left else question
    return FileQuestion(frozenset(named), is_whole, search)


def _words(text: str) -> list[str]:
    return WORD.findall(fold(text))


def _name_words(name: str) -> set[str]:
    """Give the words that may stand for a file where its ending is not said: no letter, year or "all"."""
    return {
        word
        for word in _words(name.rpartition(".")[0] or name)
        if (len(word) >= NAME_WORD_MIN or UNSPACED.search(word))
        and not (word.isdigit() or word in COMMON or WHOLE.fullmatch(word))
    }


def _stands_in(words: set[str], name: str, texts: Mapping[str, Sequence[str]]) -> bool:
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
    return any(pattern.search(fold(text)) for other, pieces in texts.items() if other != name for text in pieces)
