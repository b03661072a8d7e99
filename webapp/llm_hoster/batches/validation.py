"""All of a batch's input, looked at before its first line is asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

from llm_hoster.batches.batch import Endpoint, LineFault
from llm_hoster.batches.line import Line, LineError, parse_line, read_lines

# As many as a person reads.
FAULTS_MAX = 50
NAME_LENGTH_MAX = 200


@dataclass(frozen=True)
class Validation:
    """`total` is the number of lines; `model` is the one that they all ask for."""

    total: int
    model: str | None
    faults: tuple[LineFault, ...]


class Validator:
    def __init__(self, endpoint: Endpoint, served: Collection[str]) -> None:
        self.total = 0
        self.model: str | None = None
        self.faults: list[LineFault] = []
        self._endpoint = endpoint
        self._served = served
        self._custom_ids: set[str] = set()

    def take(self, number: int, text: bytes) -> None:
        self.total += 1
        try:
            self._check(parse_line(number, text, self._endpoint))
        except LineError as error:
            self.faults.append(error.fault)

    @property
    def is_over(self) -> bool:
        return len(self.faults) >= FAULTS_MAX

    def _check(self, line: Line) -> None:
        if line.custom_id in self._custom_ids:
            message = f"The custom_id {line.custom_id[:NAME_LENGTH_MAX]!r} is that of an earlier line too."
            raise LineError("duplicate_custom_id", message, line.number, "custom_id")
        self._custom_ids.add(line.custom_id)
        name = line.model[:NAME_LENGTH_MAX]
        if line.model not in self._served:
            served = ", ".join(sorted(self._served)) or "nothing"
            message = f"The model {name!r} is not served here, or not to your key. Served to it: {served}."
            raise LineError("model_not_found", message, line.number, "body.model")
        if self.model is None:
            self.model = line.model
        if line.model != self.model:
            message = f"The model {name!r} is not {self.model!r}, that of the lines before. A batch has one model."
            raise LineError("mismatched_model", message, line.number, "body.model")


def validate(file: BinaryIO, endpoint: Endpoint, served: Collection[str]) -> Validation:
    """Raise OSError where the file cannot be read."""
    validator = Validator(endpoint, served)
    try:
        for number, text in read_lines(file):
            validator.take(number, text)
            if validator.is_over:
                break
    except LineError as error:
        validator.faults.append(error.fault)
    if validator.total == 0 and not validator.faults:
        validator.faults.append(LineFault(code="empty_file", message="The file has no line."))
    return Validation(validator.total, validator.model, tuple(validator.faults))
