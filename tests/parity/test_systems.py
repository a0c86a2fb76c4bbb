"""Says which golden systems no port is tested against yet."""

from pathlib import Path

from tests.parity.golden import cases, say, systems


def test_systems_without_a_port_are_named():
    tests = "\n".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    for system in systems():
        if f'"{system}"' not in tests:
            say(f"{system}: {len(cases(system))} cases left out, there is no port to test against them")
    assert systems()
