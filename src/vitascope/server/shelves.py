"""What there is to choose from: models, workflows, steps, LoRAs; and the routes that run a workflow or a step."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from vitascope.generators import GENERATORS
from vitascope.generators import known_models as known
from vitascope.jobs import loras
from vitascope.server import bodies
from vitascope.server.access import Reader, Writer
from vitascope.server.counter import Counter, made
from vitascope.server.envelope import Refusal
from vitascope.server.making import step_of, workflow_of
from vitascope.steps import STEPS
from vitascope.workflows import workflow as workflows

router = APIRouter(prefix="/v1", tags=["shelves"])
_STARTED_AT = int(time.time())


@router.get("/models", summary="List models")
def models(_: Reader) -> dict[str, Any]:
    """As the OpenAI client's `models.list`, with tasks and licence."""
    rows = [_model(model.name, list(model.tasks), model.licence) for _, model in known()]
    named = {row["id"] for row in rows}
    rows += [
        _model(generator.name, [kind.kind for kind in generator.accepts], None)
        for generator in GENERATORS
        if generator.name not in named and not generator.models
    ]
    return {"object": "list", "data": rows}


@router.get("/models/{model}", summary="Look at a model")
def model(model: str, caller: Reader) -> dict[str, Any]:
    """One row of the list. Raises: Refusal (404)."""
    for row in models(caller)["data"]:
        if row["id"] == model:
            return row
    raise Refusal(404, f"no model {model[:80]!r}", code="model_not_found", param="model")


def _model(name: str, tasks: list[str], licence: str | None) -> dict[str, Any]:
    said = {"id": name, "object": "model", "created": _STARTED_AT, "owned_by": "vitascope"}
    return said | {"tasks": tasks, "licence": licence}


@router.get("/workflows", summary="List workflows")
def list_workflows(_: Reader) -> dict[str, Any]:
    """Each with what it does and the names of its steps."""
    rows = []
    for name in workflows.names():
        found = workflows.load(name)
        rows.append({"id": name, "object": "workflow", "summary": found.summary, "steps": list(found.ids)})
    return {"object": "list", "data": rows}


@router.post("/workflows/{workflow}", summary="Run a workflow", openapi_extra=bodies.CREATE)
async def run_workflow(workflow: str, request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """A job like any other: look at it under `/v1/videos`."""
    if workflow not in workflows.names():
        raise Refusal(404, f"no workflow {workflow[:80]!r}", code="not_found", param="workflow")
    return await made(
        request, office, caller, lambda incoming: workflow_of(incoming, workflow), "input_reference"
    )


@router.get("/steps", summary="List steps")
def list_steps(_: Reader) -> dict[str, Any]:
    """Each with its knobs as JSON schema."""
    rows = [
        {"id": step.name, "object": "step", "summary": step.summary(), "knobs": step.model_json_schema()}
        for step in STEPS
    ]
    return {"object": "list", "data": rows}


@router.post("/steps/{step}", summary="Treat a clip with one step", openapi_extra=bodies.STEP)
async def run_step(step: str, request: Request, office: Counter, caller: Writer) -> JSONResponse:
    """`video` is a file, or {id} of a completed one; the other fields are the step's knobs."""
    if step not in STEPS.names():
        raise Refusal(404, f"no step {step[:80]!r}", code="not_found", param="step")
    return await made(request, office, caller, lambda incoming: step_of(incoming, step), "video")


@router.get("/loras", summary="List LoRAs that the operator offers")
def list_loras(office: Counter, _: Reader) -> dict[str, Any]:
    """Their names, for `loras` of a request; your own are uploaded to `/v1/files`."""
    names = loras.offered(office.house.artifacts)
    return {"object": "list", "data": [{"id": name, "object": "lora"} for name in names]}
