"""``roi-bench leaderboard review`` and ``comment``: what a pull request adds to a board."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("submissions")
@click.option("--base", required=True, metavar="REF", help="What is changed: a branch or commit.")
@click.option("--head", default="HEAD", show_default=True, metavar="REF", help="The change.")
@click.option(
    "--repository",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Clone of git that has both.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the outcome, as JSON.")
@click.option("--recount", is_flag=True, help="Count tokens again with tokenizers of the hub too.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that grade (default: one per core).")
def review(
    submissions: str, base: str, head: str, repository: Path, out: Path | None, recount: bool, workers: int | None
) -> int:
    """Check what REF adds to the folder SUBMISSIONS of a repository: new submissions, and nothing else.

    Nothing of the change is checked out. Prints what would be commented; exit code 5 if anything is refused.
    """
    import json

    from roi_bench.errors import RecordError
    from roi_bench.leaderboard.added_folders import check_place
    from roi_bench.leaderboard.review import is_accepted, review_change
    from roi_bench.leaderboard.review_comment import comment_text

    check_place(repository, submissions.strip("/"), base, head)
    found = review_change(repository, submissions.strip("/"), base, head, recount=recount, workers=workers)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    click.echo(comment_text(found), nl=False)
    return 0 if is_accepted(found) else RecordError.exit_code


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def comment(file: Path) -> None:
    """Print the comment on a pull request that the review in FILE gives, whoever wrote that file."""
    from roi_bench.leaderboard.review_comment import LARGEST_BYTES, comment_text, read_review

    with file.open("rb") as stream:
        content = stream.read(LARGEST_BYTES + 1)
    click.echo(comment_text(read_review(content, str(file))), nl=False)
