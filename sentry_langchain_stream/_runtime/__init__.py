"""Runtime: containment of our own failures, and the state of the Python interpreter."""
