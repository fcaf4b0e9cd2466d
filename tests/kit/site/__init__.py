"""A folder for the `PYTHONPATH` of a process: see `sitecustomize.py`."""
