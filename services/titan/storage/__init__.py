"""Tables, migrations and repositories. Brain and Execution own a schema each and never read each other's."""
