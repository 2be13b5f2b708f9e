"""Reports on several runs: names, order, what can be compared, fitting profiles, tables that agree with their parts."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest
from matplotlib.text import Text

from roi_bench.analysis.efficiency import allocations
from roi_bench.analysis.profile import ProfiledRuns, match_notes, match_profiles
from roi_bench.analysis.reports.report import report_figures, report_tables
from roi_bench.analysis.reports.score_tables import (
    comparison_table,
    interval_of,
    outcome_table,
    ranking_table,
    runs_table,
    score_table,
)
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell, common_name, common_setup, in_order, run_names, short_name
from roi_bench.errors import RecordError
from roi_bench.records.regrade import estimate_metrics
from roi_bench.records.results import RecordedTask, Sending, Setup
from roi_bench.scoring.statistics import Estimate
from tests.analysis.simulated_model import BUDGET
from tests.support.messages import missing
from tests.support.simulated_runs import (
    EXAMS,
    MODEL,
    PROFILE,
    RUNS,
    everything,
    named,
    only_hard,
    rows_of,
    run_of,
    task_of,
)


def test_names_say_what_differs():
    one_model = [task_of(), task_of("metacognitive"), task_of()]
    assert run_names(one_model) == ["direct", "metacognitive", "direct #2"]
    two = [task_of(model="Qwen/Qwen2.5-1.5B-Instruct"), task_of(model="/data/models/mine")]
    assert run_names(two) == ["Qwen/Qwen2.5-1.5B-Instruct · direct", "mine · direct"]
    labelled = replace(
        one_model[0], record=replace(one_model[0].record, deviations=("budget=99", "do_sample=True", "temperature=0.7"))
    )
    assert run_names([labelled, one_model[0]]) == ["direct [temperature=0.7]", "direct"]
    assert run_names([labelled, labelled]) == ["direct", "direct #2"]
    assert common_name([labelled, labelled]) == "simulated [temperature=0.7]"
    assert common_name([labelled, one_model[0]]) == "simulated"
    assert common_name(two) is None
    assert run_names([task_of(order="hard"), task_of(order="medium")]) == ["direct", "direct"]
    assert short_name("x" * 60) == "…" + "x" * 47
    alike = [task_of(model="/a/run/checkpoint-500"), task_of(model="/b/run/checkpoint-500"), task_of(model="/c/other")]
    assert run_names(alike) == ["/a/run/checkpoint-500 · direct", "/b/run/checkpoint-500 · direct", "other · direct"]


def test_names_say_how_prompts_were_sent_where_this_alone_differs():
    def sent(*way: str | None, labels: tuple[str, ...] = (), **changes: str) -> RecordedTask:
        task = task_of(**changes)
        return replace(task, record=replace(task.record, deviations=labels, **asdict(Sending(*way))))

    bare, template, other = sent("text"), sent("chat template", "1" * 64), sent("chat template", "2" * 64)
    assert run_names([bare, template]) == ["direct [text]", "direct [chat template]"]
    assert run_names([bare, bare, template]) == ["direct [text]", "direct [text] #2", "direct [chat template]"]
    assert run_names([template, other]) == ["direct [chat template 11111111]", "direct [chat template 22222222]"]
    assert run_names([bare, sent("chat template", "1" * 64, prompt="metacognitive")]) == ["direct", "metacognitive"]
    assert run_names([bare, sent("messages", order="medium")]) == ["direct [text]", "direct [messages]"]
    told = ("system_instruction",)
    one, two = (sent("text", None, sha * 64, labels=told) for sha in "12")
    assert run_names([one, two]) == ["direct [system_instruction 11111111]", "direct [system_instruction 22222222]"]
    assert run_names([bare, one]) == ["direct", "direct [system_instruction]"]
    assert run_names([bare, one, two])[1:] == run_names([one, two])


def test_names_say_what_generated_runs_where_this_differs():
    def made(engine: str = "hf", dtype: str = "float32", batch: int = 4, **changes: str) -> RecordedTask:
        journal = changes.pop("journal", "")
        setup = Setup(engine, "5.2", dtype, "none", str(batch), journal)
        return replace(task_of(**changes), setup=setup)

    assert run_names([made(), made(dtype="bfloat16")]) == ["direct [float32]", "direct [bfloat16]"]
    assert run_names([made(), made("vllm")]) == ["direct [hf 5.2]", "direct [vllm 5.2]"]
    assert run_names([made(), made("vllm", order="medium")]) == ["direct [hf]", "direct [vllm]"]
    assert run_names([made(batch=1), made(batch=8)]) == ["direct [batch size 1]", "direct [batch size 8]"]
    assert run_names([made(batch=1), made(batch=8, order="medium")]) == ["direct", "direct"]  # one run, two cells
    assert run_names([made(), made(dtype="bfloat16", prompt="metacognitive")]) == ["direct", "metacognitive"]
    twins = [made(journal="0123abcd"), made(journal="0123abce")]
    assert run_names(twins) == ["direct [journal 0123abcd]", "direct [journal 0123abce]"]
    assert run_names([twins[0], twins[0]]) == ["direct", "direct #2"]
    assert run_names([made(), task_of()]) == ["direct [hf 5.2, float32, not quantised, batch size 4]", "direct"]
    assert common_setup([made(), made(dtype="bfloat16")]) == "hf 5.2, not quantised, batch size 4"
    assert common_setup([task_of()]) == ""
    said = rows_of(runs_table([replace(RUNS[0], task=made()), RUNS[1]]))
    assert [(row["engine"], row["dtype"], row["quantisation"], row["batch size"]) for row in said] == [
        ("hf 5.2", "float32", "none", "4"),
        (None, None, None, None),
    ]
    assert "hf 5.2, float32" in score_table([replace(RUNS[0], task=made())]).note


def test_runs_are_listed_by_what_they_sat_then_by_prompt():
    tasks = [task_of("metacognitive"), task_of("direct", budget=99), task_of(order="medium"), task_of("direct")]
    assert [(t.record.order, t.record.budget, t.record.prompt) for t in in_order(tasks)] == [
        ("medium", BUDGET, "direct"),
        ("hard", 99, "direct"),
        ("hard", BUDGET, "direct"),
        ("hard", BUDGET, "metacognitive"),
    ]
    assert Cell("fresh", 7, "hard", 512).title == "fresh/7 hard 512"
    assert Cell("v1", None, "hard", 512).slug == "v1_hard_512"


def test_few_exams_have_no_rank_and_no_interval_outside_what_is_possible():
    few = [run_of(everything, "direct", exams=EXAMS[:count], name=name) for name, count in (("a", 3), ("b", 29))]
    table = score_table(few)
    for row in rows_of(table):
        for name, (low, high) in (("score", (0, 3)), ("score in easy order", (0, 3)), ("regret", (-9, 1))):
            found = row[name]
            assert low <= (found.value if found.low is None else found.low)
            assert (found.value if found.high is None else found.high) <= high
    assert interval_of(Estimate(2.9, 0.5, 0.5, 40, 40), "score").high == 3.0
    assert interval_of(Estimate(2.9, 0.5, 0.5, 40, 40)).high > 3.0
    assert not missing(["a 3 of 90 exams", "b 29 of 90 exams"], table.note)
    runs = [*few, *RUNS]
    ranked = rows_of(ranking_table(runs))
    assert [(row["run"], row["rank"], row["tier"]) for row in ranked[-2:]] == [("a", None, None), ("b", None, None)]
    assert ranked[:-2] == rows_of(ranking_table(RUNS))
    assert not missing(["a 3 of 90 exams"], ranking_table(runs).note)
    assert "trying" not in score_table(RUNS).note + ranking_table(RUNS).note


def test_pictures_name_the_model_and_the_number_of_exams():
    figures = report_figures([run_of(everything, "direct"), run_of(only_hard, "direct", exams=EXAMS[:20], name="few")])
    for figure in figures.values():
        said = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
        assert not missing(["simulated", "n = "], said)
    said = [" ".join(t.get_text() for t in f.findobj(Text)) for n, f in figures.items() if n.startswith("scores_")]
    assert not missing(["n = 90", "n = 20, for trying only"], said[0].replace("\n", " "))


def test_estimates_are_computed_once_a_run(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "roi_bench.analysis.runs.estimate_metrics", lambda *given: calls.append(given) or estimate_metrics(*given)
    )
    runs = [replace(run) for run in RUNS]
    report_tables(runs)
    report_figures(runs)
    assert len(calls) == len(runs)


def test_scores_and_outcomes_are_those_of_the_estimates():
    rows = rows_of(score_table(RUNS))
    for run, row in zip(RUNS, rows, strict=True):
        found = run.estimates()
        assert isinstance(row["score"], Interval)
        assert (row["run"], row["n"], row["score"].value) == (run.name, 90, found["score"].value)
        assert row["score"].low < row["score"].value < row["score"].high
    fixed = rows_of(score_table(RUNS, "fixed"))
    assert fixed[0]["score"] != rows[0]["score"]
    assert "on these very exams" in score_table(RUNS, "fixed").note
    outcomes = rows_of(outcome_table(RUNS))
    assert outcomes[2]["skipped"] == pytest.approx(1 / 3)
    assert outcomes[2]["right at 1"] == outcomes[2]["hard"] == 0.0
    assert outcomes[1]["easy"] == 0.0


def test_pairs_that_sat_the_same_are_compared_and_ranked():
    rows = rows_of(comparison_table(RUNS))
    assert [(row["run A"], row["run B"]) for row in rows] == [
        ("direct", "plan_and_solve"),
        ("direct", "metacognitive"),
        ("plan_and_solve", "metacognitive"),
    ]
    assert rows[2]["score A − B"].high < 0  # type: ignore[attr-defined]
    assert rows[2]["p"] < 0.001  # type: ignore[operator]
    ranks = rows_of(ranking_table(RUNS))
    assert (ranks[0]["run"], ranks[0]["tier"], ranks[0]["rank"]) == ("metacognitive", 1, "1")
    assert {row["tier"] for row in ranks} >= {1, 2}
    other = run_of(everything, "direct", order="medium")
    assert len(rows_of(comparison_table([*RUNS, other]))) == 3
    assert comparison_table([RUNS[0], other]) is None
    assert ranking_table([RUNS[0], other]) is None


def test_runs_without_a_common_exam_are_not_compared_and_nothing_fails():
    apart = [run_of(everything, "direct", exams=EXAMS[:40]), run_of(everything, "metacognitive", exams=EXAMS[40:])]
    (row,) = rows_of(comparison_table(apart))
    assert (row["n"], row["p"]) == (0, None)
    assert [row["rank"] for row in rows_of(ranking_table(apart))] == [None, None]
    assert "ranking" in named(report_tables(apart))


def test_profiles_go_to_the_runs_of_their_model_within_their_cap():
    wider = replace(PROFILE, cap=2 * BUDGET)
    stranger, narrow = replace(PROFILE, model="another"), replace(PROFILE, cap=BUDGET - 1)
    assert match_profiles(RUNS, [wider, PROFILE, stranger, narrow]) == [ProfiledRuns(PROFILE, tuple(RUNS))]
    assert match_profiles(RUNS, [stranger, narrow]) == []
    assert match_profiles(RUNS, [replace(PROFILE, exam_set="fresh")]) == []


def test_of_several_profiles_the_one_that_covers_most_serves_then_the_one_decoded_alike():
    some = replace(PROFILE, cap=BUDGET, skills={p.id: PROFILE.skills[p.id] for e in EXAMS[:5] for p in e.problems})
    whole = replace(PROFILE, cap=4 * BUDGET)
    warm = replace(whole, decoding={"temperature": 1.0})
    matched = match_profiles(RUNS, [some, warm, whole])
    assert matched == [ProfiledRuns(whole, tuple(RUNS))]
    notes = match_notes(RUNS, [some, warm, whole], matched)
    for profile, note in zip((some, warm), notes, strict=True):
        assert f"cap {profile.cap}" in note
        assert RUNS[0].cell.title not in note, "it would serve the runs; another serves them better"
    (partial,) = match_notes(RUNS[:1], [some], match_profiles(RUNS[:1], [some]))
    assert re.search(f"direct.*v1 hard {BUDGET}.* 5 .*90", partial)
    decoding = match_notes(RUNS[:1], [warm], match_profiles(RUNS[:1], [warm]))
    assert re.search(r"temperature=1\.0.*SR", decoding[0])
    (beyond,) = match_notes(RUNS[:1], [replace(PROFILE, cap=99)], [])
    assert re.search(f"direct.*v1 hard {BUDGET}.*budget.*{BUDGET}.*cap.*99", beyond)
    (single,) = match_notes(RUNS[:1], [MODEL.profile(samples=1, seed=2)], [])
    assert "one sample" in single


def test_a_profile_whose_prompts_were_sent_like_the_runs_serves_first_and_another_is_warned_about():
    bare, template = Sending("text"), Sending("chat template", "1" * 64)
    runs = [replace(run, task=replace(run.task, record=replace(run.task.record, sent_as="text"))) for run in RUNS]
    wide = replace(PROFILE, cap=4 * BUDGET, sending=bare)
    other = replace(PROFILE, sending=template)
    assert match_profiles(runs, [other, wide]) == [ProfiledRuns(wide, tuple(runs))]
    assert match_notes(runs, [wide], match_profiles(runs, [wide])) == []
    (note,) = match_notes(runs, [other], match_profiles(runs, [other]))
    assert re.search(r"\(chat template 11111111\).*\(text\).*SR", note)
    (note,) = match_notes(runs, [PROFILE], match_profiles(runs, [PROFILE]))
    assert re.search(r"\(not recorded\).*\(text\)", note)


def test_values_are_of_the_exams_that_were_sat_and_the_tables_say_which():
    few = run_of(everything, "direct", exams=EXAMS[:30])
    matched = match_profiles([few], [PROFILE])
    tables = named(report_tables([few], matched, allocations(matched)))
    assert tables["values"].title == "What the profile is worth: simulated, v1, 30 exams, 8 samples a problem"
    values = {(row["order"], row["budget"]): row for row in rows_of(tables["values"])}
    (hard, easy) = rows_of(tables["allocation"])
    assert (hard["exams"], hard["n"], values["hard", BUDGET]["n"]) == ("v1", 30, 30)
    assert values["hard", BUDGET]["V_DP"] == hard["V_DP"]
    assert values["easy", BUDGET]["V_DP"] == easy["V_DP"]


def test_the_easy_order_is_shown_once_only_if_it_is_the_same():
    hard, medium = (run_of(everything, "direct", order=order) for order in ("hard", "medium"))
    other = run_of(everything, "direct", order="medium", seed=4)
    for second, expected in ((medium, ["direct", "direct"]), (other, ["direct", "direct (beside medium)"])):
        same = (
            replace(
                second,
                scored={
                    name: tuple(
                        replace(sample, easy=first.easy)
                        for sample, first in zip(samples, hard.scored[name], strict=True)
                    )
                    for name, samples in second.scored.items()
                },
            )
            if second is medium
            else second
        )
        matched = match_profiles([hard, same], [PROFILE])
        (found,) = allocations(matched)
        assert [name for name, item in found.found if item.order == "easy"] == expected[: 1 if second is medium else 2]


def test_names_that_differ_only_in_letters_that_files_leave_out_do_not_overwrite_each_other():
    twins = [replace(RUNS[0], name="模型 · direct"), replace(RUNS[1], name="测试 · direct")]
    figures = report_figures(twins)
    assert len([name for name in figures if name.startswith("tokens_")]) == 2


def test_a_run_that_cannot_be_replayed_is_told_and_left_out():
    def uncounted(response):
        outcomes = tuple(replace(problem, tokens=None, outcome="unanswered") for problem in response.problems)
        return replace(response, usage=None, problems=outcomes)

    scored = {
        name: tuple(replace(sample, main=uncounted(sample.main)) for sample in samples)
        for name, samples in RUNS[1].scored.items()
    }
    matched = match_profiles([RUNS[0], replace(RUNS[1], scored=scored)], [PROFILE])
    told: list[str] = []
    (found,) = allocations(matched, notify=told.append)
    assert {name for name, _ in found.found} == {"direct"}
    assert missing([f"plan_and_solve, v1 hard {BUDGET}", "no allocation"], told[0]) == []
    with pytest.raises(RecordError, match=r"s\.jsonl.*--tokenizer"):
        allocations(matched)


def test_every_name_is_explained():
    rows = rows_of(named(report_tables(RUNS))["runs"])
    assert [(row["run"], row["model"], row["task"]) for row in rows] == [
        (run.name, "simulated", run.task.name) for run in RUNS
    ]


def test_the_whole_report():
    matched = match_profiles(RUNS, [PROFILE])
    tables = named(report_tables(RUNS, matched, allocations(matched)))
    assert list(tables)[:2] == ["scores", "outcomes"]
    assert {"allocation", "values", "comparisons", "ranking", "effort", "skipping", "tokens"} <= set(tables)
    assert "level_forecast" not in tables  # nobody wrote one
    for row in rows_of(tables["allocation"]):
        parts = [row[name].value for name in ("V_DP", "AE", "SR")]  # type: ignore[attr-defined]
        assert parts[0] * parts[1] * parts[2] == pytest.approx(row["score"].value)  # type: ignore[attr-defined]
    orders = [(row["run"], row["order"]) for row in rows_of(tables["allocation"])]
    assert orders == [(run.name, order) for run in RUNS for order in ("hard", "easy")]
    skipping = rows_of(tables["skipping"])
    assert {row["run"] for row in skipping} == {run.name for run in RUNS}
    (hard,) = (r for r in skipping if (r["run"], r["order"], r["tier"]) == ("metacognitive", "hard", "all"))
    assert hard["precision"].value > 0.6  # type: ignore[attr-defined]


def test_runs_with_and_without_profile_share_a_table():
    other = replace(RUNS[1], task=replace(RUNS[1].task, model="another"))
    matched = match_profiles([RUNS[0], other], [PROFILE])
    rows = rows_of(named(report_tables([RUNS[0], other], matched))["skipping"])
    mine, without = ([row for row in rows if row["run"] == run.name] for run in (RUNS[0], other))
    assert all(row["no solo samples"] == 0 for row in mine)
    assert all(row["no solo samples"] is None and row["precision"] is None for row in without)


def test_two_budgets_make_a_table_of_budgets():
    tighter = run_of(everything, "direct", budget=60)  # type: ignore[arg-type]
    rows = rows_of(named(report_tables([RUNS[0], tighter]))["score_by_budget"])
    assert rows[0]["60 tokens"].value == tighter.estimates()["score"].value  # type: ignore[attr-defined]
    assert "score_by_budget" not in named(report_tables(RUNS))
