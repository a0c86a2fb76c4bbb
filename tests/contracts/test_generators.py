"""What every generator on the shelf promises, whoever wrote it."""

import pytest

from vitascope.errors import UnsupportedTask
from vitascope.generators import GENERATORS, Generator
from vitascope.task import TASK_KINDS, Task

NAMES = GENERATORS.names()


@pytest.mark.parametrize("name", NAMES)
def test_is_a_documented_frozen_record(name):
    generator = GENERATORS[name]
    assert issubclass(generator, Generator)
    assert generator.name == name
    assert len(generator.summary()) > 20
    assert generator.accepts, "a generator says which kinds of task it makes"
    assert all(issubclass(kind, Task) for kind in generator.accepts)


@pytest.mark.parametrize("name", NAMES)
def test_record_survives_json(name):
    generator = GENERATORS[name]()
    assert type(generator).model_validate_json(generator.model_dump_json()) == generator
    assert generator.modules_key() == type(generator)().modules_key()


@pytest.mark.parametrize("name", NAMES)
def test_refuses_a_kind_of_task_that_it_does_not_make(name):
    generator = GENERATORS[name]()
    foreign = [kind for kind in TASK_KINDS.values() if not issubclass(kind, generator.accepts)]
    for kind in foreign:
        task = kind.model_construct(prompt="a star")
        with pytest.raises(UnsupportedTask, match=kind.kind):
            generator.complete(task)
