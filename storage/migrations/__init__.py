"""The history of the schema, run from code by `storage.schema`."""
