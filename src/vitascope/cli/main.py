"""The `vitascope` command."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Any

import typer

from vitascope.cli import (
    bench,
    catalog,
    clean,
    dataset,
    doctor,
    evaluate,
    generate,
    info,
    keys,
    lora,
    measure,
    plan,
    poses,
    pull,
    run,
    serve,
    shelves,
    train,
    votes,
)

app = typer.Typer(
    name="vitascope",
    help="An open workbench for AI video generation.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate.generate)
app.command("run")(run.run)
STOPPED = 130
_STEP_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("apply", context_settings=_STEP_FLAGS)(run.apply)
app.command("measure")(measure.measure)
app.command("train")(train.train)
app.add_typer(dataset.app, name="dataset")
app.add_typer(lora.app, name="lora")
app.add_typer(catalog.app, name="catalog")
app.command("eval")(evaluate.evaluate)
app.command("report")(evaluate.report)
app.command("arena")(evaluate.arena)
app.add_typer(votes.app, name="votes")
app.command("models")(shelves.models)
app.command("pull")(pull.pull)
app.command("list")(shelves.list_shelf)
app.command("clean")(clean.clean)
app.command("info")(info.info)
app.command("plan")(plan.plan)
app.command("poses")(poses.poses)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)
app.add_typer(keys.app, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        from vitascope import __version__

        print(f"vitascope {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the whole trace of an error."),
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version and stop."
    ),
) -> None:
    pass


def _quiet_libraries() -> None:
    """Keep libraries' progress bars and advice out of our own output; errors stay."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # What they deprecate inside themselves is nothing that a user could mend.
    warnings.filterwarnings("ignore", module=r"(diffusers|transformers)\.")


def main() -> None:
    """Run the command line; errors become one line and an exit code (2 asked wrongly, 3 missing, 1 ours)."""
    _quiet_libraries()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    kept = False
    try:
        code = app(standalone_mode=False) or 0
    except KeyboardInterrupt:
        code = STOPPED
    except Exception as error:
        if debug:
            raise
        code, kept = _report(error), getattr(error, "kept", False)
    if code == STOPPED and not kept:
        print("stopped; nothing was written", file=sys.stderr)
    sys.exit(code)


def _report(error: Exception) -> int:
    from vitascope.errors import DiskFull, VitascopeError

    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, typer.Abort):
        return STOPPED
    if isinstance(error, VitascopeError):
        print(f"vitascope: {line}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        print("vitascope: no space left to write; free some room and try again", file=sys.stderr)
        return DiskFull.exit_code
    if isinstance(error, typer.BadParameter.__mro__[1]):  # typer's UsageError, which it keeps private
        return _report_usage(error)
    print(
        f"vitascope: internal error: {type(error).__name__}: {line} (--debug shows the trace)",
        file=sys.stderr,
    )
    return 1


def _report_usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        said = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "vitascope"
        print(f"vitascope: {said}; see: {command} --help", file=sys.stderr)
    return int(error.exit_code)


if __name__ == "__main__":
    main()
