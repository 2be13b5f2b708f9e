"""A board of invented graded submissions, made by code: plausible numbers, nothing in it was ever measured."""

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from statistics import NormalDist
from types import MappingProxyType

import numpy as np

from roi_bench.analysis.ranking import ComparedPair
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board.board import Board, CellTable, Entry, Refused, Reported, Review, Standing
from roi_bench.leaderboard.board.graded import (
    GradedRun,
    GradedSubmission,
    PromptSpread,
    Remark,
    TokenBox,
)
from roi_bench.leaderboard.submission.schema import Metadata, Submission, SubmittedTask
from roi_bench.scoring.prompts import prompt_sha256

TIERS = ("easy", "middle", "hard")
MAIN = Cell("v1", None, "hard", 512)
CELLS = (
    MAIN,
    Cell("v1", None, "medium", 512),
    Cell("v1", None, "hard", 1024),
    Cell("tiny", 0, "hard", 128),
    Cell("fresh", 7, "hard", 512),
)
MAKERS = ("Alder", "Birch", "Cedar", "Douglas", "Elm", "Fir", "Gingko", "Hazel")
PROVIDERS = ("local", "openrouter", "openai", None)
PROMPTS = ("direct", "metacognitive", "plan_and_solve", "least_to_most")
T975 = 2.045  # t for 29 degrees of freedom: 30 clusters


def invented_board(models=12, *, exams=60, cells=CELLS, seed=0, **changes):
    """Return a board of `models` submissions, each with one run a cell; every fifth also corrects one that left."""
    entries, number = [], 0
    while number < models:
        graded = invented_submission(number, exams=exams, cells=cells, seed=seed)
        if number % 5 == 4:
            old = invented_submission(number, exams=exams, cells=cells[:1], seed=seed + 1, replaced=True)
            correction = replace(graded.submission, replaces=old.submission.id, reason="The wrong revision was named.")
            graded = replace(graded, submission=correction)
            entries.append(Entry(old, "regraded", None, graded.submission.id))
        review = invented_review(graded.submission.id) if number % 4 == 1 else None
        entries.append(Entry(graded, review.badge if review else "regraded", review, None))
        number += 1
    entries.sort(key=lambda entry: (entry.graded.submission.metadata.date, entry.id), reverse=True)
    board = Board(
        title="An invented board",
        description="Nothing on it was measured.",
        base_url="https://board.example/",
        entries=tuple(entries),
        cells=tuple(invented_table(cell, entries) for cell in cells),
        refused=(Refused("left-out-0123456789ab", "roi_exam_hard_512.jsonl.gz: exam v1/003 is missing"),),
        drafts=False,
    )
    return replace(board, **changes)


def invented_review(identity):
    return Review(identity, "reproduced", "The board's maintainers", "2026-11-20", 30, "30 of 30 exams came out alike.")


def invented_submission(number, *, exams=60, cells=CELLS, seed=0, replaced=False):
    """Return one submission; the higher its number, the lower its skill."""
    rng = np.random.default_rng([seed, number])
    maker = MAKERS[number % len(MAKERS)]
    parameters = None if number % 7 == 6 else int(10 ** (11 - 4 * (number % 9) / 9))
    name = f"{maker}-{number}-Instruct"
    slug = f"{maker.lower()}-{number}-instruct"
    prompt = PROMPTS[number % len(PROMPTS)]
    metadata = Metadata(
        model=f"{maker}AI/{name}",
        date=f"2026-{1 + number % 10:02d}-{1 + (number * 3) % 28 - replaced * (number % 2):02d}".replace("-00", "-01"),
        contamination="Trained before the exams were frozen.",
        contact=f"{maker.lower()}@board.example",
        version="1.0" if number % 3 else None,
        provider=PROVIDERS[number % len(PROVIDERS)],
        organisation=f"{maker} AI",
        licence="apache-2.0" if number % 3 else None,
        open_weights=(True, False, None)[number % 3],
        parameters=parameters,
        hardware="1 GPU",
        notes="",
    )
    skill = 0.25 + 2.0 * (0.97**number) * (0.75 + 0.25 * rng.random())
    runs = tuple(invented_run(cell, prompt, skill * factor(cell), exams, number, rng) for cell in cells)
    tasks = tuple(invented_task(run) for run in runs)
    submission = Submission(
        id=f"{slug}-{(seed * 7919 + number * 104729 + replaced) % 16**12:012x}",
        metadata=metadata,
        software=MappingProxyType({"lm_eval": "0.4.13", "roi-bench": "0.1.0"}),
        tasks=tasks,
        usd=None if runs[0].usd is None else sum(run.usd for run in runs),
    )
    remarks = (Remark("claims", "score of roi_exam_hard_512: 1.90 was claimed, 1.88 was found"),) if number == 3 else ()
    profiles = ("roi_solo_512",) if number % 3 == 0 else ()
    return GradedSubmission(submission, f"{number:064x}", 123_456, runs, profiles, remarks, number % 2 == 0)


def factor(cell):
    """Return how much of its skill a model brings to a cell: a larger budget and an easier order help."""
    return {"hard": 0.8, "medium": 1.0}[cell.order] * (1.0 if cell.budget in (512, 128) else 1.25)


def spread(values, clusters, digits=4):
    """Return the mean of `values` with its interval over clusters."""
    values = np.asarray(values, dtype=float)
    sums = {}
    for cluster, value in zip(clusters, values - values.mean(), strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value
    count = len(sums)
    error = np.sqrt(count / (count - 1) * sum(total**2 for total in sums.values())) / len(values)
    mean = float(values.mean())
    return Interval(mean, float(mean - T975 * error), float(mean + T975 * error))


def near(value, width=0.03):
    return Interval(float(value), float(value - width), float(value + width))


def invented_run(cell, prompt, skill, exams, number, rng):
    """Return one run whose three problems are right with probabilities that add up to about `skill`."""
    pool = {"v1": "v1", "tiny": "tiny/0", "fresh": f"fresh/{cell.exam_seed}"}[cell.exam_set]
    ids = tuple(f"{pool}/{index:03d}" for index in range(exams))
    clusters = tuple(f"aime/{index % 30}" if cell.exam_set == "v1" else ids[index] for index in range(exams))
    right = np.clip(np.array([skill * 0.55, skill * 0.35, skill * 0.1]), 0.01, 0.97)
    hard = (rng.random((exams, 3)) < right).sum(axis=1)
    easy = (rng.random((exams, 3)) < np.clip(right * 1.2, 0, 0.98)).sum(axis=1)
    score, score_easy = spread(hard, clusters), spread(easy, clusters)
    ratio = None if not score_easy.value else (score_easy.value - score.value) / score_easy.value
    regret = Interval(None) if ratio is None else near(ratio, 0.06)
    left = 1 - score.value / 3
    shares = {"wrong": 0.4, "skipped": 0.25, "truncated": 0.2, "unanswered": 0.1, "empty": 0.05}
    outcomes = {"correct": score.value / 3} | {name: share * left for name, share in shares.items()}
    levels = prompt == "metacognitive"
    tokens = cell.budget * (0.6 + 0.3 * rng.random())
    usd = None if number % 4 == 0 else round(0.0004 + 0.002 * rng.random(), 6)
    return GradedRun(
        task=f"roi_{'exam' if cell.exam_set == 'v1' else cell.exam_set}_{cell.order}_{cell.budget}",
        cell=cell,
        prompt=prompt,
        form="exam",
        repeats=4 if number % 6 == 5 else 1,
        decoding="temperature=0.7" if number % 6 == 5 else "",
        deviations=("system instruction",) if number % 9 == 8 else (),
        exams=exams,
        clusters=len(set(clusters)),
        numbers=MappingProxyType(
            {
                "score": score,
                "score_easy": score_easy,
                "regret": regret,
                **{f"p{k}_acc": near(value) for k, value in zip((1, 2, 3), right[::-1], strict=True)},
                **{f"{tier}_acc": near(value) for tier, value in zip(TIERS, right, strict=True)},
                "skip_rate": near(outcomes["skipped"]),
                **{name: near(outcomes[name]) for name in ("correct", "wrong", "truncated", "unanswered", "empty")},
                "level_acc": near(0.6) if levels else Interval(None),
                "level_mae": near(0.5) if levels else Interval(None),
                "tokens": near(tokens, 9.0),
                **{f"p{k}_tokens": near(tokens * share, 5.0) for k, share in ((1, 0.5), (2, 0.3), (3, 0.2))},
                "planning_tokens": near(0.0, 0.0),
                "budget_use": near(tokens / cell.budget),
                "over_budget": near(0.0, 0.0),
                "error": near(0.0, 0.0),
            }
        ),
        score_fixed=near(score.value, 0.08),
        regret_fixed=Interval(None) if ratio is None else near(ratio, 0.05),
        exam_ids=ids,
        exam_clusters=clusters,
        scores=tuple(float(value) for value in hard),
        scores_easy=tuple(float(value) for value in easy),
        sampling_stderr=0.02 if number % 6 == 5 else None,
        outcomes_by_tier=MappingProxyType({tier: MappingProxyType(tilted(outcomes, tier)) for tier in TIERS}),
        skip_rate_by_tier=MappingProxyType({tier: near(tilted(outcomes, tier)["skipped"]) for tier in TIERS}),
        accuracy_by_position=MappingProxyType(
            {
                cell.order: tuple(near(value) for value in right[::-1]),
                "easy": tuple(near(min(0.98, value * 1.2)) for value in right),
            }
        ),
        token_boxes=invented_boxes(cell, tokens, exams),
        level_counts=((30, 10, 2, 0, 0), (8, 25, 9, 1, 0), (1, 7, 20, 6, 0), (0, 0, 0, 0, 40)) if levels else (),
        usd_per_exam=usd,
        usd=None if usd is None else usd * exams * 2,
        tokens_source="generated" if number % 2 else "retokenized",
        allocation=invented_allocation(score.value) if number % 3 == 0 else {},
        responses_sha256=sha256(repr((cell.slug, number, hard.tolist())).encode()).hexdigest(),
        fingerprints=invented_prints(exams, cell.slug, number, hard.tolist()),
        tokens_checked="counted",
        score_prompts=invented_spread(score) if number % 7 == 2 else None,
        regret_prompts=invented_spread(regret) if number % 7 == 2 and ratio is not None else None,
        outcomes="".join("s" * (3 - right) + "c" * right for right in hard.tolist()),
    )


def invented_prints(exams, *parts):
    """Return fingerprints of responses that nobody else gave, as long as ``parts`` are no other's."""
    seed = int.from_bytes(sha256(repr(parts).encode()).digest()[:8], "big")
    return b64encode(np.random.default_rng(seed).bytes(exams * 2 * 6)).decode("ascii")


def invented_spread(found):
    """Return a spread over four prompts, one of which the run's own number is."""
    low, high = found.value - 0.11, found.value + 0.04
    return PromptSpread(4, 480, low, high, 0.06, 0.05, Interval(found.value, found.low - 0.15, found.high + 0.15))


def tilted(outcomes, tier):
    """Return shares that add up to 1, with more right answers on easy problems."""
    weight = {"easy": 1.5, "middle": 1.0, "hard": 0.5}[tier]
    correct = min(0.97, outcomes["correct"] * weight)
    rest = 1 - outcomes["correct"]
    others = {name: share * (1 - correct) / rest for name, share in outcomes.items() if name != "correct"}
    return {"correct": correct} | others


def invented_boxes(cell, tokens, exams):
    """Return boxes by order, position and tier; nothing was attempted of the hard problem at position 3."""
    boxes = []
    for order in dict.fromkeys((cell.order, "easy")):
        for position in (1, 2, 3):
            for place, tier in enumerate(TIERS):
                middle = tokens / 6 * (1 + place) * (1.2 - 0.1 * position)
                nothing = tier == "hard" and position == 3 and order != "easy"
                marks = None if nothing else tuple(float(middle * part) for part in (0.5, 0.75, 1.0, 1.3, 1.7))
                count = 0 if nothing else exams // 3
                boxes.append(TokenBox(order, position, tier, count, None if nothing else float(middle), marks))
    return tuple(boxes)


def invented_allocation(score):
    optimal, replay = score * 1.3, score * 1.05
    return {
        "v_dp": near(optimal),
        "v_replay": near(replay),
        "ae": near(replay / optimal),
        "sr": near(score / replay, 0.05),
        "lift": near(replay - optimal * 0.7),
    }


def invented_task(run):
    return SubmittedTask(
        name=run.task,
        form="exam",
        exam_set=run.cell.exam_set,
        exam_seed=run.cell.exam_seed,
        exam_version=1,
        exams_sha256="e" * 64,
        order=run.cell.order,
        budget=run.cell.budget,
        repeats=run.repeats,
        prompt=run.prompt,
        prompt_sha256=prompt_sha256(run.prompt),
        tokenizer=None,
        tokenizer_revision=None,
        text_is_whole=True,
        decoding=MappingProxyType({"temperature": 0.7} if run.decoding else {}),
        deviations=run.deviations,
        documents=run.exams,
        file=f"{run.task}.jsonl.gz",
        sha256="f" * 64,
        **({"engine": "vllm", "engine_version": "0.18.0", "dtype": "bfloat16"} if run.prompt == "direct" else {}),
    )


def invented_table(cell, entries):
    """Return the table of a cell: ranks by hand (two up, two down), a tier every four rows."""
    sat = [(entry, run) for entry in entries if not entry.replaced_by for run in entry.graded.runs if run.cell == cell]
    sat.sort(key=lambda pair: (-pair[1].numbers["score"].value, pair[0].id))
    priced = [(run.usd_per_exam, -run.numbers["score"].value) for _, run in sat if run.usd_per_exam is not None]

    def on_front(run):
        if run.usd_per_exam is None:
            return None
        mine = -run.numbers["score"].value
        return not any(usd < run.usd_per_exam and score <= mine for usd, score in priced)

    standings = tuple(
        Standing(entry, run, (max(1, place - 2), min(len(sat), place + 2)), 1 + (place - 1) // 4, on_front(run))
        for place, (entry, run) in enumerate(sat, start=1)
    )
    reported = (
        (
            Reported("Qwen2.5-1.5B-Instruct", "MFT + RARL", cell, 0.93, None, "arXiv 2601.03822"),
            Reported("GPT-4o-mini", "direct", cell, 0.32, None, "arXiv 2601.03822"),
        )
        if cell == MAIN
        else ()
    )
    return CellTable(cell, standings, tuple(neighbours(standings)), reported)


def neighbours(standings):
    """Yield each run against the three above it."""
    for place, standing in enumerate(standings):
        for other in range(max(0, place - 3), place):
            mine, theirs = np.array(standing.run.scores), np.array(standings[other].run.scores)
            found = spread(theirs - mine, standing.run.exam_clusters)
            error = (found.high - found.low) / 2 / T975
            p_value = 2 * (1 - NormalDist().cdf(abs(found.value) / error)) if error else None
            yield ComparedPair(
                a=other,
                b=place,
                exams=len(mine),
                discordant=int((mine != theirs).sum()),
                difference=found,
                p_value=p_value,
                detectable=2.9 * error if error else None,
            )


HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&]]>\x00\x1b\ud800\u202e{{7*7}}"


def hostile_board():
    """Return a small board with hostile text in every field that a submitter or a folder's name can fill."""
    board = invented_board(3)
    graded = board.entries[0].graded
    submission = graded.submission
    metadata = replace(
        submission.metadata,
        **dict.fromkeys(("model", "contamination", "contact", "version", "provider", "organisation"), HOSTILE),
        **dict.fromkeys(("licence", "hardware", "notes"), HOSTILE),
    )
    tasks = tuple(replace(task, decoding={HOSTILE: HOSTILE}, tokenizer=HOSTILE) for task in submission.tasks)
    evil = replace(
        graded,
        submission=replace(submission, metadata=metadata, software={HOSTILE: HOSTILE}, reason=HOSTILE, tasks=tasks),
        runs=tuple(replace(run, decoding=HOSTILE, deviations=(HOSTILE,)) for run in graded.runs),
        remarks=(Remark("claims", HOSTILE),),
    )
    entries = (Entry(evil, "regraded", None, None), *board.entries[1:])
    cells = tuple(invented_table(table.cell, entries) for table in board.cells)
    return replace(board, entries=entries, cells=cells, refused=(Refused(HOSTILE, HOSTILE),))
