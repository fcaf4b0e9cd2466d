"""The soak: very many streams with random endings over one handler, which must leave the process as it was.

`python -m tests.soak --streams 300000`, or `make soak`. See `docs/endurance.md`.
"""
