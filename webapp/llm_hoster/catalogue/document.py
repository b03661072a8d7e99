"""A YAML file with its line numbers, checked against a model: every fault names file, line, field, found, expected."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from llm_hoster.errors import ConfigError

Location = tuple[int | str, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

NOT_THERE = object()
FOUND_LIMIT = 60


class Document(Generic[ModelT]):
    """One YAML file. `value` is set when the file alone is right; cross checks add to the same `faults`."""

    def __init__(self, path: Path, model: type[ModelT]) -> None:
        self.path = path
        self.faults: list[str] = []
        self.value: ModelT | None = None
        self._lines: dict[Location, int] = {(): 1}
        node = self._compose()
        if not self.faults:
            # Faults of the YAML itself (a field twice) do not hide those of the fields.
            self._check(None if node is None else self._build(node, (), ()), model)

    def fault(self, location: Location, found: object, expected: str) -> None:
        """Note one fault at the line of `location`, or of its nearest parent when it is not in the file."""
        known = location
        while known not in self._lines:
            known = known[:-1]
        field = _spell(location) or "the whole file"
        self.faults.append(f"{self.path}:{self._lines[known]}: {field}: found {_show(found)}, expected {expected}")

    def require(self) -> ModelT:
        """Give the checked value; raise ConfigError with every fault, one per line."""
        raise_faults([self])
        assert self.value is not None  # noqa: S101 - a document without faults has a value
        return self.value

    def _compose(self) -> yaml.Node | None:
        try:
            return yaml.compose(self.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except OSError as error:
            self.fault((), NOT_THERE, f"a file that can be read ({error.strerror})")
        except UnicodeDecodeError as error:
            self.fault((), f"byte {error.start}", "text in UTF-8")
        except yaml.MarkedYAMLError as error:
            self._lines[()] = error.problem_mark.line + 1 if error.problem_mark else 1
            self.fault((), error.problem or "something else", "YAML")
        except yaml.YAMLError as error:
            self.fault((), str(error), "YAML")
        return None

    def _build(self, node: yaml.Node, location: Location, parents: tuple[yaml.Node, ...]) -> Any:
        """Turn a node into plain data and remember the line of every key and item."""
        self._lines.setdefault(location, node.start_mark.line + 1)
        if node in parents:
            self.fault(location, "an alias to its own parent", "data without a circle")
            return None
        parents = (*parents, node)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*location, index), parents) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(node, location, parents)
        return self._build_scalar(node, location)

    def _build_mapping(self, node: yaml.MappingNode, location: Location, parents: tuple[yaml.Node, ...]) -> Any:
        built: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self._build_scalar(key_node, location) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.fault(location, key, "text as the name of a field")
                continue
            here = (*location, key)
            if key in built:
                self._lines[here] = key_node.start_mark.line + 1
                self.fault(here, "the field a second time", "each field once")
                continue
            self._lines[here] = key_node.start_mark.line + 1
            built[key] = self._build(value_node, here, parents)
        return built

    def _build_scalar(self, node: yaml.Node, location: Location) -> Any:
        # A loader of its own for each scalar: the tag (int, bool, null, date) is resolved as YAML does it.
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            self.fault(location, getattr(node, "value", "?"), "a plain value")
            return None
        finally:
            loader.dispose()

    def _check(self, data: Any, model: type[ModelT]) -> None:
        try:
            self.value = model.model_validate(data, strict=True)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._note(detail, model)

    def _note(self, detail: ErrorDetails, model: type[BaseModel]) -> None:
        location, kind = detail["loc"], detail["type"]
        if kind == "extra_forbidden":
            self.fault(location, detail["input"], f"no such field; the fields here are {_fields_at(model, location)}")
        elif kind == "missing":
            self.fault(location, NOT_THERE, "this field")
        elif kind == "value_error":
            self.fault(location, detail["input"], str(detail["ctx"]["error"]))
        elif kind in ("model_type", "dict_type"):
            self.fault(location, detail["input"], "a group of fields")
        else:
            self.fault(location, detail["input"], detail["msg"].removeprefix("Input should be "))


def raise_faults(documents: Iterable[Document[Any]]) -> None:
    """Raise one ConfigError with the faults of all documents, or return."""
    faults = [fault for document in documents for fault in document.faults]
    if faults:
        raise ConfigError("\n".join(faults))


def _spell(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _show(found: object) -> str:
    if found is NOT_THERE:
        return "nothing"
    text = json.dumps(found, ensure_ascii=False, default=str)
    return text if len(text) <= FOUND_LIMIT else text[:FOUND_LIMIT] + "…"


def _fields_at(model: type[BaseModel], location: Location) -> str:
    """Name the fields of the model that holds the last part of `location`."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner_model(model.model_fields[part].annotation) or model
    return ", ".join(sorted(model.model_fields))


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_inner_model(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)
