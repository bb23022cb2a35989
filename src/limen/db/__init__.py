"""The database: engine, unit of work, user table, sessions, rights, revocation log. All SQL is Core, one verb each."""
