"""The models that this session's GPUs can serve instead of the one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llm_hoster.catalogue.choice import AUTO, variants_by_change
from llm_hoster.catalogue.compiled import Model, Option, Verdict
from llm_hoster.client.session_files import STAGED_FILE
from llm_hoster.errors import LLMHosterError
from llm_hoster.session import Session


@dataclass(frozen=True)
class Candidate:
    """A model with the variant nearest to the launched one in which it fits."""

    model: Model
    quantization: str
    preset: str
    # Tokens; None where the catalogue does not say.
    max_model_len: int | None
    # What differs from the launched variant, in the words of the form.
    changes: tuple[str, ...]
    context_length: str

    @property
    def order(self) -> dict[str, str]:
        """The values of the form that change."""
        return {
            "model": self.model.name,
            "quantization": self.quantization,
            "preset": self.preset,
            "context_length": self.context_length,
        }


@lru_cache(maxsize=4)
def staged_session(staged_root: Path) -> Session | None:
    """Read what was launched; None where it cannot be read. It never changes while the session runs."""
    try:
        return Session.from_file(staged_root / STAGED_FILE)
    except LLMHosterError:
        return None


def candidates(session: Session) -> list[Candidate]:
    return [_candidate(session, model) for model in session.models_here()]


def _candidate(session: Session, model: Model) -> Candidate:
    catalogue = session.catalogue
    own = (session.quantization, session.preset)
    place = catalogue.fits.get(model.name, {}).get(session.gpu_type.name, {}).get(str(session.num_gpus), {})
    variants = variants_by_change(
        [each.name for each in catalogue.quantizations], [each.name for each in catalogue.presets], own
    )
    fitting = [each for each in variants if _fits(place.get("/".join(each)))]
    quantization, preset = fitting[0] if fitting else own
    verdict = place.get(f"{quantization}/{preset}")
    longest = verdict.max_model_len if verdict is not None else None
    wanted = session.context_length
    return Candidate(
        model=model,
        quantization=quantization,
        preset=preset,
        max_model_len=longest,
        changes=tuple(
            title_of(options, name)
            for options, name, launched in [
                (catalogue.quantizations, quantization, own[0]),
                (catalogue.presets, preset, own[1]),
            ]
            if name != launched
        ),
        context_length=str(wanted) if wanted is not None and wanted <= (longest or 0) else AUTO,
    )


def _fits(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.fits


def title_of(options: list[Option], name: str) -> str:
    """Titles say what an option is, and after a colon what it does."""
    return next(each.title for each in options if each.name == name).partition(":")[0]
