"""What `vitascope serve` and `vitascope worker` refuse before anything starts, in one line."""

import pytest

from vitascope.jobs.house import House
from vitascope.jobs.slots import hold_slot

NOWHERE = "postgresql://nobody:geheim@127.0.0.1:1/jobs"


@pytest.mark.parametrize("command", [("serve", "--workers", "0"), ("worker",), ("keys", "list")])
def test_a_database_that_does_not_answer(vitascope, tmp_path, command):
    done = vitascope(*command, "--house", tmp_path / "house", "--database", NOWHERE)
    assert done.code == 3 and done.err.count("\n") == 1, done.err
    assert "'jobs' at 127.0.0.1:1" in done.err and "refused" in done.err and "geheim" not in done.err


def test_a_folder_that_cannot_be_made(vitascope, tmp_path):
    (tmp_path / "file").write_text("")
    done = vitascope("worker", "--house", tmp_path / "file" / "house")
    assert done.code == 2 and done.err.count("\n") == 1 and "--house" in done.err


def test_a_store_that_nobody_knows(vitascope, tmp_path):
    done = vitascope("worker", "--house", tmp_path / "house", "--artifacts", "nonsense://bucket/x")
    assert done.code == 2 and done.err.count("\n") == 1 and "nonsense" in done.err


def test_a_slot_that_another_worker_has(vitascope, tmp_path):
    house = House(tmp_path / "house")
    house.open()
    with hold_slot(house.lock("mine")):
        done = vitascope("worker", "--house", house.root, "--slot", "mine")
    assert done.code == 3 and done.err.count("\n") == 1 and "'mine' is taken" in done.err
    done = vitascope("worker", "--house", house.root, "--slot", "../mine")
    assert done.code == 2 and "../mine" in done.err


def test_a_memory_limit_that_is_no_size(vitascope, tmp_path):
    done = vitascope("worker", "--house", tmp_path / "house", "--memory", "lots")
    assert done.code == 2 and "memory 'lots' is not a size, such as 24GiB" in done.err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--device", "xpu"), "device 'xpu' is not on this machine"),
        (("--memory", "lots"), "24GiB"),
        (("--gpus", 2), "gpus=2, and this machine has no GPU"),
        (("--workers", 0, "--memory", "24GiB"), "--memory is for workers, and --workers 0 starts none"),
        (("--workers", 0, "--gpus", 2), "--gpus is for workers"),
    ],
)
def test_a_service_refuses_before_it_says_that_it_answers(vitascope, tmp_path, monkeypatch, asked, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = vitascope("serve", "--house", tmp_path / "house", "--port", 8639, *asked)
    assert done.code == 2 and done.err.count("\n") == 1 and words in done.err
    assert not done.out
