"""Jobs that break their worker, in a real worker under its supervisor: one fails, the worker comes back."""

import os
import threading

import pytest

from tests.jobs.crew import SOURCE, wait_for
from tests.recording import recorded
from vitascope.jobs.house import House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.supervisor import Supervisor

BREAKING = """
import os, signal
from vitascope.errors import OutOfMemory
from vitascope.generators.colour_bars import ColourBars
generate = ColourBars.generate
def broken(self, tasks, modules, context):
    if tasks[0].prompt == "native crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if tasks[0].prompt == "out of memory":
        raise OutOfMemory("the device ran out of memory")
    return generate(self, tasks, modules, context)
ColourBars.generate = broken
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_that_kills_its_worker_is_given_up_and_others_go_on(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(BREAKING)
    monkeypatch.setenv(
        "PYTHONPATH", f"{tmp_path}{os.pathsep}{SOURCE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    )
    office = Office(House(tmp_path / "house"))
    ids = [
        office.submit(Submission(Order(prompt=prompt, model="colour-bars"), request_hash=prompt)).id
        for prompt in ("native crash", "out of memory", "fine")
    ]
    stop = threading.Event()
    words = ("--device", "cpu", "--max-attempts", "2")
    thread = threading.Thread(target=Supervisor(office.house, ["a"], words).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: not any(job.is_open for job in office.ledger.several(ids)), 300, every_s=0.5)
    finally:
        stop.set()
        thread.join()
    crash, oom, fine = (office.ledger.get(job_id) for job_id in ids)
    assert (crash.status, crash.error_code, crash.attempts) == ("failed", "worker_lost", 3)
    assert "2 times" in (crash.error_message or "")
    assert (oom.status, oom.error_code, oom.attempts) == ("failed", "out_of_memory", 1)
    assert fine.status == "completed"
    recorded("quarantine", crash=crash.error_message, out_of_memory=oom.error_message, next_job=fine.status)
    office.close()
