"""``hub export`` and ``hub import``: a hub as lines of JSON, and back."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.options import AsJson
from hub.cli.output import console, fail, note, print_json, print_table, say, shown
from hub.cli.place import HERE, Place, placed

if TYPE_CHECKING:
    from hub.cli.importing import Import

LINES_BETWEEN = 200
"""The bar moves after so many lines."""


@placed
def export(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A new file, or - for stdout.")],
    messages: Annotated[bool, typer.Option("--messages", help="With the messages of each device.")] = False,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets",
            help="With the keys of networks and the hashes of passwords, access keys and device keys; over --url with "
            "the keys of networks only.",
        ),
    ] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Write networks, device classes, users, access keys, applications and devices to a file, one JSON object a line.

    It works beside a running hub; what changes meanwhile may be in the file or not. Without --secrets there is nothing
    in it that opens anything: `hub import` then leaves passwords and keys of what exists as they are, and makes keys
    of what is new. Links of users to single devices, keys of logins, grants of applications (their keys are exported)
    and configuration rows are not in it; `hub backup` copies everything. Over --url each user and each device takes
    requests of its own: thousands take minutes.

    [bold]Examples[/]

      hub export hub.jsonl
      hub export --secrets --messages moving.jsonl
      HUB_URL=https://hub.example.org HUB_KEY=… hub export - | gzip > hub.jsonl.gz
    """
    from hub.cli.exporting import Export

    if secrets and place.is_remote:
        note("over the REST API hashes of passwords and keys cannot be read: only the keys of networks are exported")
    with place.session() as session, _new(file) as out, _bar(None) as moved:
        exporter = Export(session, keys=secrets, hashes=secrets and not place.is_remote, messages=messages)
        counts = _write(exporter.lines(), out, moved)
    if file != "-":
        _tell_of_export(file, counts, as_json=as_json)


@placed
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="What `hub export` has written, or - for stdin.")],
    new_keys: Annotated[
        Path | None,
        typer.Option(
            "--new-keys",
            metavar="FILE",
            help="Make new keys for new devices and access keys whose old ones are not in the file or do not work "
            "here, and write them to this new file.",
        ),
    ] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Read an export and make everything as it says. Doing it twice changes nothing the second time.

    Networks are matched by name, classes by name and version, users by login, access keys by owner and label, devices
    by guid. What is there and not in the file stays. A user's networks become those of the file.

    Keys are only kept as hashes, and those are good for a hub with the same pepper. A new device or access key needs an
    export with --secrets and the same pepper, or --new-keys.

    Up to 500 lines, or half a second of them, are one transaction. A bad line is named, and stops the import: what came
    before its transaction stays, and importing again goes on from there. Over --url each line counts by itself;
    passwords, states of equipment and messages cannot be brought there, and devices that are made or changed are told
    to subscribers.

    [bold]Examples[/]

      hub import hub.jsonl --new-keys keys.jsonl
      zcat hub.jsonl.gz | hub import -
    """
    from hub.cli.importing import Import

    if file != "-" and not Path(file).is_file():
        fail(f"there is no file {file}")
    size = Path(file).stat().st_size if file != "-" else None
    keys = _keys_file(new_keys) if new_keys is not None else nullcontext()
    with place.session() as session, keys as out, _bar(size) as moved:
        importer = Import(session, is_remote=place.is_remote, new_keys=out, passed=moved)
        _run(importer, file)
    _tell_of_import(importer, as_json=as_json)


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _new(file: str) -> Iterator[IO[bytes]]:
    """A new file that only its owner may read; - is stdout. What was begun and not finished is taken away."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    descriptor = _made(path)
    try:
        with open(descriptor, "wb") as out:
            yield out
    except BaseException:
        path.unlink()
        raise


@contextmanager
def _keys_file(path: Path) -> Iterator[IO[str]]:
    """A new file for keys. What was written stays, whatever happens: those keys may work already."""
    descriptor = _made(path)
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            yield out
    finally:
        if path.stat().st_size == 0:
            path.unlink()


def _made(path: Path) -> int:
    """A descriptor of a new file that only its owner may read."""
    import os

    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{path} exists already; choose another name")


def _write(lines: Iterator[dict[str, Any]], out: IO[bytes], moved: Any) -> Counter[str]:
    import orjson

    counts: Counter[str] = Counter()
    for line in lines:
        out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        counts[line.get("kind", "header")] += 1
        if counts.total() % LINES_BETWEEN == 0:
            moved(LINES_BETWEEN)
    del counts["header"]
    return counts


def _run(importer: "Import", file: str) -> None:
    try:
        if file == "-":
            importer.run(_lines(sys.stdin.buffer))
            return
        with open(file, "rb") as stream:
            importer.run(_lines(stream))
    except BaseException:
        done = f"lines up to {importer.done} are carried out" if importer.done else "nothing is carried out"
        note(f"{done}; importing again goes on from there")
        raise


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Line by line, none kept, and of one without an end not more than can be looked at."""
    from hub.cli.lines import LINE_BYTES

    while line := stream.readline(LINE_BYTES + 1):
        yield line


# --- what is told -----------------------------------------------------------------------------------------------------


@contextmanager
def _bar(total: int | None) -> Iterator[Any]:
    """A progress bar on a terminal; yields what moves it. With a total it counts bytes, without one lines."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed:,} lines") if total is None else MofNCompleteColumn())
    progress: Progress = Progress(
        *columns, TimeRemainingColumn(), console=out, transient=True, disable=not out.is_terminal
    )
    with progress:
        task = progress.add_task("", total=total)
        yield lambda size: progress.advance(task, size)


def _tell_of_export(file: str, counts: Counter[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"file": file, "lines": dict(counts)})
        return
    told = ", ".join(f"{number} of {kind}" for kind, number in counts.items()) or "no lines"
    say(f"wrote [bold]{shown(file)}[/]: {shown(told)}")


def _tell_of_import(importer: "Import", *, as_json: bool) -> None:
    from hub.cli.importing import summary

    if importer.left_out:
        note(f"states of equipment cannot be set over the REST API: those of {importer.left_out} devices differ")
    if as_json:
        print_json({kind: {str(name): number for name, number in of.items()} for kind, of in importer.counts.items()})
        return
    print_table(["", "created", "changed", "unchanged"], summary(importer.counts), empty="no lines")
