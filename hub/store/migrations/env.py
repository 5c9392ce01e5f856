"""Run by Alembic: the migrations, on the connection that :func:`hub.store.migrations.upgrade` was given."""

from alembic import context

from hub.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by building the table anew
    transactional_ddl=True,  # all migrations or none
)
with context.begin_transaction():
    context.run_migrations()
