"""Alembic's environment: runs revisions over the connection that :mod:`titan.storage.migrate` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
