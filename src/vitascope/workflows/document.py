"""YAML read so that every complaint can name its file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vitascope.errors import NotFound, RequestError


@dataclass(frozen=True)
class Located:
    """A YAML value and where it stands: a scalar, a tuple of Located, or a dict of Located by key.

    Line 0: not from a text, but from the recipe in a file.
    """

    value: Any
    file: str
    line: int

    def complain(self, message: str, param: str | None = None) -> RequestError:
        """An error that names the file and the line."""
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return RequestError(f"{where}: {message}", param=param)

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        return self.value

    def mapping(self, what: str, allowed: set[str] | None = None) -> dict[str, Located]:
        """The value as a mapping. Raises: RequestError if it is none, or has a key that is not allowed."""
        if not isinstance(self.value, dict):
            raise self.complain(f"{what} must be a mapping, not {self._kind()}")
        for key, item in self.value.items():
            if allowed is not None and key not in allowed:
                raise item.complain(f"unknown key {key!r} in {what}; allowed: {', '.join(sorted(allowed))}")
        return self.value

    def sequence(self, what: str) -> tuple[Located, ...]:
        """The value as a list. Raises: RequestError if it is none."""
        if not isinstance(self.value, tuple):
            raise self.complain(f"{what} must be a list, not {self._kind()}")
        return self.value

    def text(self, what: str) -> str:
        """The value as a word or sentence. Raises: RequestError if it is none."""
        if not isinstance(self.value, str):
            raise self.complain(f"{what} must be text, not {self._kind()}")
        return self.value

    def _kind(self) -> str:
        """The value's type in YAML's words."""
        words = {dict: "a mapping", tuple: "a list", str: "text", type(None): "nothing"}
        return words.get(type(self.value), f"{self.value!r}")


def read_yaml(path: Path, what: str = "workflow") -> Located:
    """Read one YAML document. Raises: NotFound, RequestError naming the line of what is wrong."""
    if not path.is_file():
        raise NotFound(f"no {what} file at {str(path)!r}")
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8", errors="replace"))
    except yaml.reader.ReaderError as error:
        line = error.position and path.read_bytes()[: error.position].count(b"\n")
        raise RequestError(f"{path}, line {line + 1}: not a text file: {error.reason}") from error
    try:
        node = loader.get_single_node()
        if node is None:
            raise RequestError(f"{path}, line 1: the file is empty")
        return _located(loader, node, str(path), set())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RequestError(f"{path}, line {line}: {error.problem or 'not valid YAML'}") from error
    except yaml.YAMLError as error:
        raise RequestError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    finally:
        loader.dispose()


def _located(loader: yaml.SafeLoader, node: yaml.Node, file: str, above: set[int]) -> Located:
    line = node.start_mark.line + 1
    if id(node) in above:
        raise RequestError(f"{file}, line {line}: this alias contains itself")
    inside = above | {id(node)}
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise RequestError(f"{file}, line {key_node.start_mark.line + 1}: a key must be a word")
            if str(key_node.value) in value:
                place = key_node.start_mark.line + 1
                raise RequestError(f"{file}, line {place}: {key_node.value!r} stands here a second time")
            value[str(key_node.value)] = _located(loader, value_node, file, inside)
    elif isinstance(node, yaml.SequenceNode):
        value = tuple(_located(loader, item, file, inside) for item in node.value)
    else:
        value = loader.construct_object(node, deep=True)
    return Located(value, file, line)
