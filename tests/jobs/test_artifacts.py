"""Files in a store that other machines share: played by fsspec's store in memory."""

import shutil

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from vitascope.clip import Clip
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import NotFound
from vitascope.jobs.artifacts import Artifacts, StoredCheckpoints, StoredClips
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import THUMBNAIL, VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.media import probe


@pytest.fixture
def store():
    yield "memory://house"
    MemoryFileSystem.store.clear()


def machines(tmp_path, store):
    return [Artifacts(tmp_path / name, store) for name in ("here", "there")]


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_what_one_machine_puts_another_fetches(tmp_path, store, kind):
    store = store if kind == "memory" else (tmp_path / "shared").as_uri()
    here, there = machines(tmp_path, store)
    (here.folder / "jobs/x").mkdir(parents=True)
    (here.folder / "jobs/x/a").write_bytes(b"0123456789")
    with pytest.raises(NotFound):
        there.fetch("jobs/x/a")
    here.put("jobs/x")
    assert there.size("jobs/x/a") == 10 and b"".join(there.pieces("jobs/x/a", 2, 5)) == b"234"
    assert there.fetch("jobs/x/a").read_bytes() == b"0123456789"
    there.leave("jobs/x")
    assert {path.name for path in there.fetch("jobs/x").iterdir()} == {"a"}
    there.remove("jobs/x")
    there.remove("jobs/x")
    here.leave("jobs/x")
    with pytest.raises(NotFound):
        here.fetch("jobs/x/a")


def test_a_small_file_is_read_where_it_is_and_missed_once_it_is_gone(tmp_path, store):
    here, there = machines(tmp_path, store)
    (here.folder / "jobs").mkdir(parents=True)
    (here.folder / "jobs/preview.webp").write_bytes(b"so far")
    here.put("jobs/preview.webp")
    assert here.read("jobs/preview.webp") == there.read("jobs/preview.webp") == b"so far"
    here.remove("jobs/preview.webp")
    for machine in (here, there, Artifacts(tmp_path / "here")):
        with pytest.raises(NotFound):
            machine.read("jobs/preview.webp")


def test_checkpoints_and_clips_follow_their_job(tmp_path, store):
    here, there = machines(tmp_path, store)
    one, other = (StoredCheckpoints(where, "jobs/x/states") for where in (here, there))
    assert other.load("s") is None
    for data in (b"1", b"2"):
        one.save("s", data)
        assert other.load("s") == data, "never an older one that is left on the machine"
    other.delete("s")
    assert one.load("s") is None
    clip = Clip(np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3), 8)
    StoredClips(here.folder / "jobs/x/clips", artifacts=here).put("k", clip)
    found = StoredClips(there.folder / "jobs/x/clips", artifacts=there).get("k")
    assert np.array_equal(found.array(), clip.array())


def test_a_job_of_one_machine_is_made_on_another(tmp_path, store):
    office = Office(House(tmp_path / "api", "", store))
    job = office.submit(Submission(Order(prompt="bars", model="colour-bars")))
    assert not office.house.job(job.id).exists()
    shutil.copytree(tmp_path / "api", tmp_path / "node", ignore=shutil.ignore_patterns("jobs"))
    node = House(tmp_path / "node", "", store)
    (node.root / "jobs").mkdir()
    runner = JobRunner(node, office.ledger, Engine(Placement(device="cpu")), 60)
    runner.work(job.id)
    assert not node.job(job.id).exists(), "the store has it"
    assert probe(office.file(job.id, VIDEO)).num_frames == 17 and office.file(job.id, THUMBNAIL).is_file()
    office.delete(job.id, "local")
    with pytest.raises(NotFound):
        Artifacts(tmp_path / "third", store).fetch(node.named(job.id, VIDEO))
    office.close()
