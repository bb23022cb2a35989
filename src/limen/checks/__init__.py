"""What `limen check` looks at. It gathers facts once, into a frozen `Evidence`; one small function judges each of them.

`gathering` has all the I/O and none of the opinions; `rules/` has the opinions and no I/O.
"""
