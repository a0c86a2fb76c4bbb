"""Items and shelves: a folder is a shelf, a file on it is an item, the file's name is its id."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vitascope.errors import RequestError, UnknownName, invalid_value


class Item(BaseModel):
    """A frozen record of its own knobs: JSON, web form, command-line flags, cache key and provenance at once.

    Weights are never held; they are handed in where the item works. `name` is that of its file, or of its entry
    point where another package brings it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: ClassVar[str] = ""
    # Knobs that say the same in another way: of a workflow's file, one makes way for the other that a caller sets
    instead_of: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring: what a list shows."""
        return (inspect.getdoc(cls) or "").partition("\n")[0].strip()

    @classmethod
    def with_knobs(cls, **knobs: Any) -> Any:
        """An item of this class with these knobs, errors as one clear line.

        Raises: UnknownName for a knob that does not exist, RequestError for a value out of range.
        """
        for knob in knobs:
            if knob not in cls.model_fields:
                raise UnknownName(f"parameter of {cls.name!r}", knob, cls.model_fields, param=knob)
        try:
            return cls(**knobs)
        except ValidationError as error:
            raise invalid_value(error, cls.name) from error


T = TypeVar("T", bound=Item)


class Shelf(Generic[T]):
    """The items of one package, found by file name, and those of other packages, found by entry point.

    Files whose name starts with an underscore, and `base.py`, are not items. An underscore in a file's
    name is a hyphen in the item's. Other packages add an item through the entry-point group named like the
    package: `[project.entry-points."vitascope.generators"]  my-model = "my_package.my_model:MyModel"`.
    """

    def __init__(self, package: str, base: type[T], noun: str) -> None:
        self.package, self.base, self.noun = package, base, noun

    @cached_property
    def _modules(self) -> dict[str, str]:
        package = importlib.import_module(self.package)
        stems = (info.name for info in pkgutil.iter_modules(package.__path__))
        return {
            stem.replace("_", "-"): f"{self.package}.{stem}"
            for stem in stems
            if not stem.startswith("_") and stem != "base"
        }

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.package)}

    def names(self) -> list[str]:
        """The ids of all items, sorted, without importing any of them."""
        return sorted({*self._modules, *self._entry_points})

    def __getitem__(self, name: str) -> type[T]:
        """The item class called `name`. Raises: UnknownName, RequestError for a foreign item that is none."""
        if name in self._modules:
            item = self._item_of(self._modules[name])
        elif name in self._entry_points:
            item = self._entry_points[name].load()
        else:
            raise UnknownName(self.noun, name, self.names())
        if not (inspect.isclass(item) and issubclass(item, self.base)):
            raise RequestError(f"{self.noun} {name!r} is not a {self.base.__name__}: {item!r}")
        item.name = name
        return item

    def __iter__(self) -> Iterator[type[T]]:
        return (self[name] for name in self.names())

    def _item_of(self, module_name: str) -> type[T]:
        module = importlib.import_module(module_name)
        own = [
            member
            for member in vars(module).values()
            if inspect.isclass(member) and issubclass(member, self.base) and member.__module__ == module_name
        ]
        public = [member for member in own if not member.__name__.startswith("_")]
        assert len(public) == 1, f"{module_name} must define one {self.base.__name__}, not {len(public)}"
        return public[0]
