"""Tables, migrations and repositories: projections, never the authority."""
