#!/bin/sh
# Validates the app's authentication: packages, secret, settings, hashing, tokens, routes, database. Status 1: mend it.
exec limen check "$@"
