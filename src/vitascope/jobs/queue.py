"""The durable queue (DBOS): the only file that asks it to take, cancel or forget a job.

A job is written to the ledger first and queued second; a process that dies in between leaves a job that the
workers' watch queues again, under the same id, so that it can never run twice at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, EnqueueOptions, WorkflowSerializationFormat

from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.record import Job
from vitascope.jobs.tables import connect, open_database

APPLICATION = "vitascope"
QUEUE = "clips"
WORKFLOW = "make_clip"
VERSION = "1"  # raised when the order of durable steps changes; workers of another version leave a job alone
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def open_queue(house: House) -> None:
    """Make the folders, the databases and the queue's tables; harmless where they are there.

    Raises: RequestError for a folder or store that cannot be, DatabaseUnreachable, DependencyMissing.
    """
    house.open()
    house.artifacts.check()
    open_database(house.ledger_url).dispose()  # DBOS would speak of a missing server in many lines
    DBOS.migrate(house.queue_url)


class Queue:
    """Talks to the durable queue from any process; runs nothing itself."""

    def __init__(self, house: House, ledger: Ledger) -> None:
        self.is_in_ledgers_database = bool(house.database)
        self._engine = ledger.engine if house.database else connect(house.queue_url, writes_at_once=True)
        self._client = DBOSClient(
            system_database_engine=self._engine,
            application_name=APPLICATION,
            retry_connection_errors=False,  # a request is told at once, and the watch tries again anyway
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()
        if not self.is_in_ledgers_database:
            self._engine.dispose()

    def put(self, job: Job) -> None:
        """Queue a job; one that is queued already stays where it is."""
        self._client.enqueue(_options(job), job.id)

    def put_within(self, job: Job, connection: sa.Connection) -> None:
        """Queue a new job in a transaction of the ledger's, where both are in one database."""
        self._client.enqueue_in_transaction(connection, _options(job), job.id)

    def put_again(self, job: Job) -> None:
        """Queue a job whose turn has passed without its being made."""
        if self.statuses([job.id]).get(job.id) in ENDED:
            self.forget([job.id])
        self.put(job)

    def cancel(self, job_id: str) -> None:
        """Take a waiting job off the queue."""
        self._client.cancel_workflow(job_id)

    def forget(self, job_ids: Sequence[str]) -> None:
        """Remove ended jobs from the queue's tables."""
        if job_ids:
            self._client.delete_workflows(list(job_ids))

    def statuses(self, job_ids: Sequence[str]) -> dict[str, str]:
        """What the queue says of these jobs; those that it does not know are left out."""
        if not job_ids:
            return {}
        found = self._client.list_workflows(workflow_ids=list(job_ids), load_input=False, load_output=False)
        return {row.workflow_id: row.status for row in found}


def _options(job: Job) -> EnqueueOptions:
    return {
        "workflow_name": WORKFLOW,
        "queue_name": QUEUE,
        "workflow_id": job.id,
        "priority": job.priority,
        "app_version": VERSION,
        "serialization_type": WorkflowSerializationFormat.PORTABLE,
        "authenticated_user": job.tenant,
    }
