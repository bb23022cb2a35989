#!/bin/sh
# Begins an app with JWT authentication here: a .env with a fresh secret and a main.py. Overwrites nothing.
exec limen init --template jwt "$@"
