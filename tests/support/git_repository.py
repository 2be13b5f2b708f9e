"""A throwaway git repository with a board in it: files written, changes committed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BOARD = "leaderboard/submissions"
OLD, NEW = "old-0123456789ab", "new-ba9876543210"


def git(repository: Path, *arguments: str) -> str:
    """Run git without the settings of this machine and return what it printed."""
    author = {f"GIT_{who}_{what}": "t@t.t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=repository, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def write(repository: Path, path: str, content: str = "{}\n") -> None:
    """Write a file of the repository, with its folders."""
    file = repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")


def commit_all(repository: Path) -> str:
    """Commit all files, ignored ones too, and return the commit."""
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "change")
    return git(repository, "rev-parse", "HEAD")
