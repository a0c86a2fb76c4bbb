"""A suite on two workers with machines of their own, both killed in the middle together with who waits for them."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.jobs import postgres
from tests.jobs.crew import Crew, wait_for
from tests.recording import recorded
from vitascope.evaluation.runs import open_run
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.media import probe

NUM_ITEMS, STEPS = 4, (2, 3)
MODELS = ",".join(f"sprout+num_inference_steps={steps}" for steps in STEPS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_evaluation_goes_on_where_it_was(tmp_path):
    if postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    folder, store = tmp_path / "run", f"file://{tmp_path / 'store'}"

    def begin(url):
        words = ["eval", "toyworld", "--models", MODELS, "--limit", str(NUM_ITEMS), "--folder", str(folder)]
        shared = [
            "--workers",
            "0",
            "--database",
            url,
            "--artifacts",
            store,
            "--quiet",
            "--metric",
            "sharpness",
        ]
        return subprocess.Popen([sys.executable, "-m", "vitascope", *words, *shared])

    with postgres.server() as url:
        roots = {slot: tmp_path / slot for slot in ("a", "b")}
        for root in roots.values():
            House(root, url, store).open()
        waiting = begin(url)
        ledger = Ledger(House(tmp_path / "a", url, store).ledger_url)
        wait_for(lambda: (folder / "suite.json").is_file() and tables_are_there(ledger), 120)
        crew = Crew(House(tmp_path / "a", url, store), list(roots), roots=roots)
        started = time.monotonic()
        try:
            wait_for(lambda: ledger.counts().get("completed", 0) >= 2, 300)
            waiting.kill()
            waiting.wait()
            done_before = len(open_run(folder).made())
            for slot in roots:
                crew.strike(slot, signal.SIGKILL)
            completed_before = ledger.counts().get("completed", 0)
            for slot in roots:
                crew.again(slot)
            again = begin(url)
            assert again.wait(timeout=500) == 0
        finally:
            crew.end()
        took_s = time.monotonic() - started
        counts = ledger.counts()
        ledger.close()
    run = open_run(folder)
    made = run.made()
    assert len(made) == NUM_ITEMS * len(STEPS) and not any(clip.failed for clip in made)
    assert {probe(folder / clip.path).num_frames for clip in made} == {17}
    assert counts == {"completed": NUM_ITEMS * len(STEPS)}, "nothing was made twice"
    assert len([m for m in run.measured() if m.metric == "sharpness"]) == len(made)
    assert (folder / "report.html").is_file()
    recorded(
        "eval-two-machines",
        clips=len(made),
        taken_before_the_kill=done_before,
        completed_before_the_kill=completed_before,
        killed="both workers and the evaluation, SIGKILL",
        jobs=json.dumps(counts),
        seconds=round(took_s, 1),
    )


def tables_are_there(ledger):
    try:
        return bool(ledger.counts())
    except Exception:  # noqa: BLE001 - not migrated yet
        return False
