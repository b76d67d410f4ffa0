"""What Alembic runs: the migrations, on the connection it is given."""

from __future__ import annotations

from alembic import context

from tachograph.store.schema import metadata, tachograph_version

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=tachograph_version.name,  # beside that of an application whose database it is
)
context.run_migrations()
