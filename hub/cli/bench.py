"""``hub bench``: how much a hub bears."""

from functools import cached_property
from typing import Any

import typer
from typer.core import TyperGroup

HELP = """How much a hub bears: load it, measure, and check that nothing is lost, repeated or reordered.

[bold]Examples[/]

  hub bench fanout                        one device, 1,000 dashboards
  hub bench fanin --rate 20k --fail-if 'p99>50ms'
  hub bench fanout --repeat 5 --out a.json
  hub bench compare a.json b.json

Start the hub with HUB_LIMITS=bench, or its limits are what is measured.
Exit codes: 0 fine, 1 something was lost or a --fail-if is true, 2 wrong arguments, 3 no hub can be reached.
"""


class Late(TyperGroup):
    """Makes its commands when somebody asks for one: they have many options, and ``hub --help`` shows none of them."""

    @cached_property
    def _made(self) -> dict[str, Any]:
        from typer.main import get_group

        from hub.cli.bench_run import app as all_of_them

        return dict(get_group(all_of_them).commands)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._made)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._made.get(cmd_name)


app = typer.Typer(cls=Late, help=HELP, no_args_is_help=True, rich_markup_mode="rich")
