"""Carries revocations between services that share no database: by Redis or Valkey."""
