"""Posts the JSON files of this folder to Sentry: `python -m examples.sentry --help`. It needs nothing but Python."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

FOLDER = Path(__file__).resolve().parent
PARTS = ("dashboard", "monitors", "alert")
NEEDED = ("SENTRY_AUTH_TOKEN", "SENTRY_ORG", "SENTRY_PROJECT")


class _NoRedirect(HTTPRedirectHandler):
    """Does not follow redirects: the token would go with them, and a POST would become a GET."""

    def redirect_request(self, *args: Any) -> None:
        """Let the redirect be an error."""


_OPENER = build_opener(_NoRedirect)


def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post to Sentry's API, and return the answer.

    Raises:
        SystemExit: Sentry refused, or cannot be reached. The message has the reason that Sentry gave.
    """
    url = os.environ.get("SENTRY_URL", "https://sentry.io").rstrip("/") + path
    headers = {"Authorization": f"Bearer {os.environ['SENTRY_AUTH_TOKEN']}", "Content-Type": "application/json"}
    try:
        with _OPENER.open(Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
            created: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        with error:
            reason = error.read().decode(errors="replace")[:2000]
        raise SystemExit(f"{url}: {error.code} {reason}") from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise SystemExit(f"{url}: {error}") from None
    return created


def chosen(parts: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files of the chosen parts, each with its part, monitors before the alert."""
    for part in PARTS:
        if part in parts:
            yield from ((part, path) for path in sorted(FOLDER.glob(f"{part}.json")))
            yield from ((part, path) for path in sorted(FOLDER.glob(f"{part}/*.json")))


def main(arguments: list[str] | None = None) -> None:
    """Post the chosen parts, and print the id of each."""
    parser = argparse.ArgumentParser(prog="python -m examples.sentry", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; by default the first two")
    parser.add_argument("--dry-run", action="store_true", help="print what would be posted, and where")
    told = parser.parse_args(arguments)
    if unknown := set(told.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    parts = told.parts or ["dashboard", "monitors"]
    if "alert" in parts and "monitors" not in parts:
        parser.error("an alert is about the monitors that are posted with it: add `monitors`")
    if not told.dry_run and (missing := [name for name in NEEDED if not os.environ.get(name)]):
        parser.error(f"set {', '.join(missing)}")
    organization = f"/api/0/organizations/{quote(os.environ.get('SENTRY_ORG', 'ORG'), safe='')}"
    paths = {
        "dashboard": f"{organization}/dashboards/",
        "monitors": f"{organization}/projects/{quote(os.environ.get('SENTRY_PROJECT', 'PROJECT'), safe='')}/detectors/",
        "alert": f"{organization}/workflows/",
    }
    detectors: list[int] = []
    for part, file in chosen(parts):
        body = json.loads(file.read_text(encoding="utf-8"))
        if part == "alert":
            body["detectorIds"] = detectors
        if told.dry_run:
            print(f"POST {paths[part]}\n{json.dumps(body, indent=2)}")
            continue
        created = post(paths[part], body)
        if part == "monitors":
            detectors.append(int(created["id"]))
        print(f"{part} {file.name}: {created['id']}", flush=True)


if __name__ == "__main__":
    main()
