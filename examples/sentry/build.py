"""Writes the JSON files of this folder: `python -m examples.sentry.build`.

Change a query or a threshold in `dashboard.py` or `alerts.py`, or in the JSON files themselves. They are bodies of
requests to Sentry's API: `dashboard.json` to create a dashboard, each file in `monitors/` to create a monitor,
`alert.json` to create an alert.
"""

from __future__ import annotations

import json
from pathlib import Path

from examples.sentry.alerts import alert, monitors
from examples.sentry.dashboard import dashboard

FOLDER = Path(__file__).resolve().parent


def files() -> dict[Path, str]:
    """Return the text of each JSON file."""
    built = {FOLDER / "dashboard.json": dashboard(), FOLDER / "alert.json": alert()}
    built |= {FOLDER / "monitors" / f"{name}.json": each for name, each in monitors().items()}
    return {path: json.dumps(each, indent=2) + "\n" for path, each in built.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
