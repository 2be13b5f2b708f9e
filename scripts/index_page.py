"""What an index would show of a wheel: refuse a page with dead links, and name what should change before an upload.

python scripts/index_page.py WHEEL
"""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import BytesParser

OWN = ("Homepage", "Documentation", "Source", "Changelog", "Issues")
UNTRUE = "on no package index"
"""What README.md says as long as nothing is uploaded; on an index it is untrue."""


def dead_links(page: str) -> list[str]:
    """Return the targets in a Markdown ``page`` that lead into a repository which an index does not have."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE))
    return [target for target in targets if not target.startswith(("https://", "#", "mailto:"))]


def main() -> int:
    """Print what is there and what is missing; the exit code is 1 for a dead link."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(wheel.read(name))
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    page = str(metadata.get_payload())
    dead = dead_links(page)
    sys.stdout.write(f"links of the page: {', '.join(f'{name} {url}' for name, url in urls.items())}\n")
    if not set(OWN) <= set(urls):
        sys.stdout.write(
            "no links to the project itself: no address yet (project_url in leaderboard/submissions/board.json)\n"
        )
    if UNTRUE in page:
        sys.stdout.write(f"before an upload: README.md says {UNTRUE!r}\n")
    for target in dead:
        sys.stdout.write(f"dead link: {target}\n")
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main())
