"""``hub serve``."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hub.cli.local import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 or :: for all.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="sqlite:///PATH")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve; more than one needs a bus.")] = None,
    bus: Annotated[str | None, typer.Option(metavar="URL", help="Bus between workers.")] = None,
    limits: Annotated[
        Literal["default", "bench"] | None, typer.Option(help="bench lifts the rates that hold a load generator back.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Least severity that is logged.")
    ] = None,
    log_format: Annotated[
        Literal["auto", "json", "console"] | None, typer.Option(help="auto: JSON unless stderr is a terminal.")
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True, help="Be a worker: how the supervisor starts it.")] = None,
) -> None:
    """Run the hub until it is told to stop (Ctrl-C or SIGTERM).

    The first start makes the database, the administrator and an access key, and prints what to try.

    With several workers, SIGHUP replaces them one by one, without refusing a connection.

    [bold]Examples[/]

      hub serve
      hub serve --host 0.0.0.0 --port 8000 --database sqlite:////var/lib/hub/hub.db
      hub serve --workers 4 --bus redis://127.0.0.1
      HUB_COMPAT=devicehive hub serve
    """
    said = {
        "host": host,
        "port": port,
        "database_url": database,
        "workers": workers,
        "bus_url": bus,
        "limits": limits,
        "log_level": log_level,
        "log_format": log_format,
    }
    settings = load_settings(**said)
    raise typer.Exit(_run(settings, said, worker))


def _run(settings: "Settings", said: "Mapping[str, object]", worker: str | None) -> int:
    if worker is not None:
        from hub.workers.place import Place
        from hub.workers.worker import work

        return work(settings, Place.parse(worker))
    if settings.workers > 1:
        from hub.workers.supervisor import supervise

        return supervise(settings, said)
    from hub.app import serve as run

    return run(settings)
