"""Remember: the ledger (SQLite or Postgres) and the content-addressed files. Knows nothing of pixels."""
