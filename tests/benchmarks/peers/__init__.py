"""Other libraries, running the same saga as their own documentation says it is done; each in a process of its own.

A peer is a module here with `PACKAGE` (its name on the package index), `IMPORTED` (the module it is imported as) and
`run(sagas, folder) -> Spent`.
"""
