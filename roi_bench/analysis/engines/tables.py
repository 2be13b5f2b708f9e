"""Tables of runs of one model on several engines: what ran, how far they agree, scores beside noise, every response."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from roi_bench.analysis.engines.agreement import (
    KINDS,
    MAIN_FACTS,
    TWO_ENGINES,
    EngineRun,
    GivenResponse,
    PairAgreement,
    ResponsePair,
    Share,
    TokenGap,
    finish_of,
    lengths_of,
    score_difference,
    share,
    verdict,
)
from roi_bench.analysis.reports.score_tables import TARGET_NOTES
from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table, interval_around
from roi_bench.analysis.runs import short_name

Rows = list[tuple[Cell, ...]]

PER_EXAM = "engine_responses"
"""Name of the table that is printed only on request."""


def engine_tables(
    groups: Sequence[Sequence[EngineRun]],
    pairs: Sequence[PairAgreement],
    gaps: Sequence[tuple[PairAgreement, TokenGap]] | None = None,
    target: str = "general",
) -> list[Table]:
    """Return every table of a comparison of engines; those that would be empty are left out.

    Args:
        groups: The runs of each task.
        pairs: The pairs compared.
        gaps: Gaps between the two best tokens where responses diverge; None if not computed.
        target: Target of intervals, ``general`` or ``fixed``.
    """
    runs = [run for group in groups for run in group]
    tables = [runs_table(runs), lengths_table(runs), agreement_table(pairs), scores_table(pairs, target)]
    tables += [found for found in (noise_table(pairs),) if found is not None]
    tables += [] if gaps is None else [gaps_table(pairs, gaps)]
    tables += [partings_table(gaps)] if gaps else []
    return [*tables, responses_table(pairs)]


def runs_table(runs: Sequence[EngineRun]) -> Table:
    """Return the runs: recorded engine, how prompts were sent, where the results are."""
    first = {run.name: run for run in reversed(runs)}
    named = [first[name] for name in dict.fromkeys(run.name for run in runs)]
    facts = [fact for fact in MAIN_FACTS if any(fact in run.engine.facts for run in named)]
    others = sorted({fact for run in named for fact in run.engine.facts} - set(MAIN_FACTS))
    facts += [fact for fact in others if len({run.engine.facts.get(fact) for run in named}) > 1]
    rows: Rows = []
    for run in named:
        task = run.run.task
        values = [run.engine.facts.get(fact, "not recorded") for fact in facts]
        where = f"{task.results_path.parent.name}/{task.results_path.name}"
        rows.append((run.name, run.engine.name, *values, short_name(task.model), task.record.sending.title, where))
    heads = ("run", "engine", *(fact.replace("_", " ") for fact in facts), "model", "prompts sent as", "results file")
    return Table(
        "engine_runs",
        "Runs, the reference first",
        tuple(map(Column, heads)),
        tuple(rows),
        "As recorded. What a server behind an API computes with is known only as far as its operator says it.",
    )


def lengths_table(runs: Sequence[EngineRun]) -> Table:
    """Return how long the responses of each run are, against its tokenizer and against the budget, and its speed."""
    rows: Rows = []
    for run in runs:
        found = lengths_of(run)
        off = ", ".join(f"{gap:+d}: {count}" for gap, count in found.off)
        counted = found.counted
        rows.append(
            (
                *(run.name, run.run.cell.title, found.responses, counted.of, counted.value),
                *(off or ("none" if counted.of else None), found.at_budget.value, found.cut.value),
                *(run.seconds, run.tokens_per_second),
            )
        )
    return Table(
        name="engine_lengths",
        title="Lengths of responses",
        columns=(
            *(Column("run"), Column("exams"), Column("responses", 0), Column("counted", 0)),
            *(Column("as the tokenizer", 3), Column("tokens off: responses"), Column("exactly at budget", 3)),
            *(Column("ended by budget", 3), Column("seconds", 1), Column("tokens a second", 1)),
        ),
        rows=tuple(rows),
        note="Counted: responses whose tokens the engine counted itself; as the tokenizer: the share whose text, "
        "encoded again, has as many (and an end token where they ended by themselves). A few may differ: a model can "
        "write a word in other tokens than its tokenizer would. Seconds: of the whole evaluation of the results file, "
        "all its tasks; tokens a second are not known where a run was resumed.",
    )


def agreement_table(pairs: Sequence[PairAgreement]) -> Table:
    """Return how far the responses of each pair agree."""
    rows: Rows = []
    for pair in pairs:
        found = pair.responses
        parted = [item.first_token for item in found if item.first_token is not None]
        shares = (
            pair.texts,
            share(item.same_tokens for item in found),
            share(item.same_finish for item in found),
            share(item.same_outcomes for item in found),
        )
        rows.append(
            (
                *(pair.a.run.cell.title, pair.a.name, pair.b.name, ", ".join(pair.differs) or "nothing recorded"),
                *(prompts_text(pair), pair.prompt_tokens.value, len(found), pair.missing),
                *(item.value for item in shares),
                *(min(parted, default=None), median(parted) if parted else None),
            )
        )
    return Table(
        name="engine_agreement",
        title="Agreement, response by response",
        columns=(
            *(Column("exams"), Column("run A"), Column("run B"), Column("differ in"), Column("equal prompts")),
            *(Column("equal prompt tokens", 3), Column("n", 0), Column("missing", 0), Column("equal texts", 3)),
            *(Column("equal token counts", 3), Column("equal finish", 3), Column("equal outcomes", 3)),
            *(Column("first parting token", 0), Column("median", 1)),
        ),
        rows=tuple(rows),
        note="Shares of the n responses that both runs have, in the task's order and in easy order. Equal outcomes: "
        "all three problems of a response. Parting token: index, from 0, of the first token in which two texts differ, "
        "the smallest and the median over the texts that do.",
    )


def prompts_text(pair: PairAgreement) -> str:
    """Return of how many exams the prompts as sent are equal, in words."""
    if pair.a.sends_messages != pair.b.sends_messages:
        return "sent as messages"
    return f"{pair.prompts.count} of {pair.prompts.of}" if pair.prompts.of else "not recorded"


def scores_table(pairs: Sequence[PairAgreement], target: str = "general") -> Table:
    """Return the paired difference of scores of each pair, in the task's order and in easy order."""
    rows: Rows = []
    for pair in pairs:
        for metric, order in (("score", pair.a.run.cell.order), ("score_easy", "easy")):
            found = score_difference(pair, metric, target)
            names = (pair.a.run.cell.title, pair.a.name, pair.b.name, order)
            if found is None:
                rows.append((*names, 0, *[None] * 6))
                continue
            difference = interval_around(found.difference, found.interval)
            rows.append(
                (
                    *(*names, found.exams, found.value_b, found.value_a, found.discordant),
                    *(difference, found.p_value, verdict(found)),
                )
            )
    return Table(
        name="engine_scores",
        title="Scores, exam by exam",
        columns=(
            *(Column("exams"), Column("run A"), Column("run B"), Column("order"), Column("n", 0), Column("A", 3)),
            *(Column("B", 3), Column("discordant", 0), Column("B − A", 3), Column("p", 4), Column("difference")),
        ),
        rows=tuple(rows),
        note="Correct answers per exam, 0–3, on the n exams that both have. Within the noise: the interval of B − A "
        f"includes 0. p: permutation test, not corrected for the number of rows. {TARGET_NOTES[target]}",
    )


def noise_table(pairs: Sequence[PairAgreement]) -> Table | None:
    """Return the share of equal texts of two engines beside that of one engine with itself.

    None unless some engine was run twice, with another batch size or the same.
    """
    if all(pair.kind == TWO_ENGINES for pair in pairs):
        return None
    rows: Rows = []
    for title in dict.fromkeys(pair.a.run.cell.title for pair in pairs):
        for kind in KINDS:
            texts = [pair.texts for pair in pairs if (pair.a.run.cell.title, pair.kind) == (title, kind)]
            values = [item.value for item in texts if item.value is not None]
            if values:
                pooled = Share(sum(item.count for item in texts), sum(item.of for item in texts))
                rows.append((title, kind, len(texts), pooled.of, Interval(pooled.value, min(values), max(values))))
    return Table(
        name="engine_noise",
        title="Equal texts between engines, beside one engine by itself",
        columns=(
            *(Column("exams"), Column("between"), Column("pairs", 0), Column("n", 0)),
            Column("equal texts, lowest and highest pair", 3),
        ),
        rows=tuple(rows),
        note="Shares of the responses of all such pairs. Rounding depends on the shape of a batch, so one engine does "
        "not always repeat itself; two that agree as often as one does with itself show nothing but that. One engine "
        "in another version, dtype or decoding counts as two.",
    )


def gaps_table(pairs: Sequence[PairAgreement], gaps: Sequence[tuple[PairAgreement, TokenGap]]) -> Table:
    """Return how close the two best tokens were where the responses of each pair diverge."""
    rows: Rows = []
    for pair in pairs:
        found = [gap for of, gap in gaps if of is pair]
        parted = sum(item.first_character is not None for item in pair.responses)
        sizes = [gap.gap for gap in found]
        rows.append(
            (
                *(pair.a.run.cell.title, pair.a.name, pair.b.name, parted, len(found)),
                *(min(sizes, default=None), median(sizes) if sizes else None, max(sizes, default=None)),
                share(gap.are_best for gap in found).value,
            )
        )
    return Table(
        name="engine_gaps",
        title="How near a tie texts part",
        columns=(
            *(Column("exams"), Column("run A"), Column("run B"), Column("parted", 0), Column("looked at", 0)),
            *(Column("smallest gap", 4), Column("median gap", 4), Column("largest gap", 4)),
            Column("both took the best two", 3),
        ),
        rows=tuple(rows),
        note="Gap: the difference of the two largest logits at the first token in which the texts differ, computed in "
        "float32 by transformers from the prompt and the tokens before. Parted texts of which no run has the prompt as "
        "text are not looked at.",
    )


def partings_table(gaps: Sequence[tuple[PairAgreement, TokenGap]]) -> Table:
    """Return each place where texts diverge: the gap between the two best tokens, and the ids of the tokens."""
    rows: Rows = []
    for pair, gap in gaps:
        item = gap.pair
        place = (pair.a.name, pair.b.name, item.exam, item.order, item.sample, item.first_token)
        rows.append((*place, gap.gap, *gap.best, *gap.tokens))
    return Table(
        name="engine_partings",
        title="Where texts part",
        columns=(
            *(Column("run A"), Column("run B"), Column("exam"), Column("order"), Column("sample", 0)),
            *(Column("parting token", 0), Column("gap", 5), Column("best token", 0), Column("second token", 0)),
            *(Column("token A", 0), Column("token B", 0)),
        ),
        rows=tuple(rows),
        note="Tokens by id. A token that is not there was never generated: the budget had ended the text.",
    )


def responses_table(pairs: Sequence[PairAgreement]) -> Table:
    """Return every response of every pair: whether it agrees, and where it diverges. No text is shown."""
    return Table(
        name="engine_responses",
        title="Every response",
        columns=(
            *(Column("run A"), Column("run B"), Column("exam"), Column("order"), Column("sample", 0)),
            *(Column("text"), Column("parting token", 0), Column("parting character", 0)),
            *(Column("tokens A", 0), Column("tokens B", 0), Column("finish A"), Column("finish B")),
            *(Column("outcomes A"), Column("outcomes B")),
        ),
        rows=tuple(_row(pair, item) for pair in pairs for item in pair.responses),
        note="Parting token and character: index, from 0, of the first that differs. Outcomes by position.",
    )


def _row(pair: PairAgreement, item: ResponsePair) -> tuple[Cell, ...]:
    return (
        *(pair.a.name, pair.b.name, item.exam, item.order, item.sample),
        *("equal" if item.first_character is None else "differs", item.first_token, item.first_character),
        *(_tokens(item.a), _tokens(item.b), finish_of(item.a), finish_of(item.b)),
        *(", ".join(item.a.outcomes), ", ".join(item.b.outcomes)),
    )


def _tokens(given: GivenResponse) -> int | None:
    return given.usage.tokens if given.usage else None
