"""Pure decisions: no FastAPI, no SQLAlchemy, no I/O. Time comes from a `Clock`, chance from the caller."""
