"""The `vitascope` command."""

from __future__ import annotations

import os
import sys

import typer

from vitascope.cli import catalog, doctor, generate, info, measure, pull, run, serve, shelves

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
_STEP_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("apply", context_settings=_STEP_FLAGS)(run.apply)
app.command("measure")(measure.measure)
app.add_typer(catalog.app, name="catalog")
app.command("models")(shelves.models)
app.command("pull")(pull.pull)
app.command("list")(shelves.list_shelf)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the whole trace of an error."),  # noqa: ARG001 main()
    version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version and stop."),
) -> None:
    if version:
        from vitascope import __version__

        print(f"vitascope {__version__}")
        raise typer.Exit()


def _quiet_libraries() -> None:
    """Keep libraries' progress bars and advice out of our own output; errors stay."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    """Run the command line; errors become one line and an exit code (2 asked wrongly, 3 missing, 1 ours)."""
    _quiet_libraries()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    from vitascope.errors import VitascopeError

    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, VitascopeError):
        print(f"vitascope: {line}", file=sys.stderr)
        return error.exit_code
    print(
        f"vitascope: internal error: {type(error).__name__}: {line} (--debug shows the trace)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    main()
