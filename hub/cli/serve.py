"""``hub serve``."""

from typing import Annotated, Literal

import typer

from hub.cli.local import load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 or :: for all.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="sqlite:///PATH or postgresql://…")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve; more than one needs a bus.")] = None,
    bus: Annotated[
        str | None, typer.Option(metavar="URL", help="Bus between workers: redis://, rediss:// or unix://")
    ] = None,
    limits: Annotated[
        Literal["default", "bench"] | None, typer.Option(help="bench lifts the rates that hold a load generator back.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Least severity that is logged.")
    ] = None,
    log_format: Annotated[
        Literal["auto", "json", "console"] | None, typer.Option(help="auto: JSON unless stderr is a terminal.")
    ] = None,
    as_worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the hub until it is told to stop (Ctrl-C or SIGTERM).

    The first start makes the database, the administrator and an access key, and prints what to try.

    With several workers, one that ends is started again, and SIGHUP replaces them one after the other: their sockets
    move to the others, new ones are never refused, and settings in files are read anew.

    [bold]Examples[/]

      hub serve
      hub serve --host 0.0.0.0 --port 8000 --database sqlite:////var/lib/hub/hub.db
      HUB_COMPAT=devicehive hub serve
      hub serve --workers 4 --bus redis://127.0.0.1
      HUB_DATABASE_URL=postgresql://hub@db/hub HUB_BUS_URL=redis://bus hub serve --workers 4
    """
    if as_worker is not None:
        raise typer.Exit(_work(as_worker))

    settings = load_settings(
        host=host,
        port=port,
        database_url=database,
        workers=workers,
        bus_url=bus,
        limits=limits,
        log_level=log_level,
        log_format=log_format,
    )
    if settings.workers > 1:
        from hub.workers import run

        raise typer.Exit(run(settings))
    from hub.app import serve as run_alone

    raise typer.Exit(run_alone(settings))


def _work(words: str) -> int:
    """Be one of several workers: everything that is said of them is in the environment."""
    from hub.app import serve as run
    from hub.worker import Handed

    handed = Handed.of(words)
    return run(load_settings(), handed)
