"""How the schema came about, and how an older database catches up."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from hub.store.errors import CannotOpen


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, inside the transaction that ``connection`` is in.

    Raises:
        CannotOpen: a newer version of the hub has changed the schema already.
    """
    config = _config()
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None:
        _refuse_unknown(config, present)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest() -> str | None:
    """The newest revision that this version of the hub knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "hub.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _refuse_unknown(config: Config, present: str) -> None:
    try:
        ScriptDirectory.from_config(config).get_revision(present)
    except CommandError as exc:
        raise CannotOpen(
            f"the database has schema {present}, which this version does not know; a newer version has used it"
        ) from exc
