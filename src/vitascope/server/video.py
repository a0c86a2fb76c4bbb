"""A job as clients see it: the `Video` object of the OpenAI API with a few fields of our own."""

from __future__ import annotations

from typing import Any

from vitascope.jobs.record import Job


def video_object(job: Job) -> dict[str, Any]:
    """The object that create, retrieve, list and events send."""
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    return {
        "id": job.id,
        "object": "video",
        "created_at": int(job.created_at),
        "completed_at": _whole(job.completed_at),
        "expires_at": _whole(job.expires_at),
        "status": job.status,
        "progress": job.progress,
        "model": job.order.model,
        "prompt": job.order.prompt,
        "seconds": job.seconds,
        "size": job.size,
        "remixed_from_video_id": job.remixed_from,
        "error": error,
        "stage": job.stage or None,
        "params": _params(job.order.options),
        "workflow": job.order.workflow,
        "applied_step": job.order.step,
        "loras": [lora.model_dump() for lora in job.order.loras],
        "priority": job.priority,
        "estimate": job.estimate,
        "recipe": job.result.get("recipe"),
        "warnings": job.result.get("warnings", []),
        "inference_time_s": job.result.get("inference_time_s"),
    }


def _params(options: dict[str, Any]) -> dict[str, Any]:
    """The options as they were asked for; of poses, which are long, how many there are."""
    poses = {name: options[name] for name in ("poses", "image_pose") if isinstance(options.get(name), dict)}
    return {**options, **{name: {"num_frames": len(said.get("frames", ()))} for name, said in poses.items()}}


def _whole(time_s: float | None) -> int | None:
    return None if time_s is None else int(time_s)
