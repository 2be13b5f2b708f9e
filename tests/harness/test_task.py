"""The lm_eval task: what is asked, what is scored, what is labelled, what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.utils import make_table

from roi_bench.errors import ModelError, UsageError
from roi_bench.exams.sets import find_exam
from roi_bench.exams.tiny import model_path
from roi_bench.harness.task import ExamValue
from roi_bench.records.results import NO_RESPONSE
from roi_bench.scoring.metrics import metrics_of
from roi_bench.scoring.prompts import exam_prompt, prompt_sha256
from roi_bench.scoring.statistics import ExamTerm
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import Responder, ScriptedModel, always, oracle
from tests.support.exam_factory import respond
from tests.support.messages import shows

HARD, MEDIUM = "roi_tiny_hard_128", "roi_tiny_medium_128"
NAMES = [metric.name for metric in metrics_of(("tiny-easy", "tiny-middle", "tiny-hard"))]


def sit(
    responder: Responder, tasks: list[str] | None = None, *, metadata: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], ScriptedModel]:
    model = ScriptedModel(responder)
    options.setdefault("limit", 6)
    results = simple_evaluate(tasks or [HARD], model=model, model_args={}, metadata=metadata, **options)
    return results, model


def value(results: dict[str, Any], name: str, task: str = HARD) -> Any:
    return results["results"][task][f"{name},none"]


def record(results: dict[str, Any], task: str = HARD) -> dict[str, Any]:
    found: dict[str, Any] = results["configs"][task]["metadata"]["roi_bench"]
    return found


def test_every_metric_stands_in_the_table_with_its_error_bar() -> None:
    counted = {"tokenizer": str(model_path())}
    tagged = lambda i, k: oracle(i, k).replace("some work", "<predicted_level>Level-0</predicted_level> w", 1)  # noqa: E731
    results, _ = sit(lambda i, k: tagged(i, k) if i.doc["exam_id"] < "tiny/0/003" else "", metadata=counted)
    table = make_table(results)
    rows = {cells[5].strip(): cells for line in table.splitlines() if len(cells := line.split("|")) > 8}
    for name in NAMES:
        assert name in rows, name
        assert float(rows[name][7]) >= 0
        assert rows[name][8].strip() == "±"
        assert float(rows[name][9]) >= 0
    assert value(results, "score") == 1.5
    assert value(results, "score_stderr") == pytest.approx((1.5**2 * 6 / 5 / 6) ** 0.5)
    assert value(results, "score_fixed_stderr") == value(results, "score_stderr")  # no problem is re-used
    assert results["versions"][HARD] == 2


def test_oracle_and_empty_and_constant_responders() -> None:
    results, _ = sit(oracle, [HARD, MEDIUM])
    for task in (HARD, MEDIUM):
        assert (value(results, "score", task), value(results, "regret", task)) == (3, 0)
        assert value(results, "correct", task) == 1
    results, _ = sit(always(""))
    assert (value(results, "score"), value(results, "unanswered"), value(results, "regret")) == (0, 1, "N/A")
    results, _ = sit(always(respond(["NA", "NA", "NA"])))
    assert (value(results, "score"), value(results, "skip_rate")) == (0, 1)
    results, _ = sit(always("I cannot do that."))
    assert value(results, "unanswered") == 1


def test_copying_the_question_earns_nothing() -> None:
    results, _ = sit(lambda instance, _: str(instance.args[0]))
    assert value(results, "score") == 0
    assert value(results, "skip_rate") == 0  # the prompt's own \boxed{NA} stands before the first header


def test_each_exam_is_asked_in_both_orders_and_the_easy_order_is_shared() -> None:
    _, hard = sit(oracle, [HARD])
    _, medium = sit(oracle, [MEDIUM])
    assert len(hard.prompts) == 12
    assert hard.prompts[1::2] == medium.prompts[1::2]
    exam = find_exam("tiny/0/000")
    offsets = [hard.prompts[0].index(problem.question) for problem in exam.ordered("hard")]
    assert offsets == sorted(offsets)
    for word in ("easy", "hard", "tier", "tiny", "gsm8k", "difficult"):
        assert word not in hard.prompts[0].lower()


def test_a_budget_from_metadata_reaches_prompt_generation_and_label() -> None:
    budgets = []

    def responder(instance: Instance, sample: int) -> str:
        budgets.append(instance.args[1]["max_gen_toks"])
        return oracle(instance, sample)

    results, model = sit(responder, metadata={"budget": 2048})
    assert set(budgets) == {2048}
    assert "at most 2048 tokens" in model.prompts[0]
    assert record(results)["deviations"] == ["budget=2048"]
    assert results["results"][HARD]["alias"] == f"{HARD} [budget=2048]"


@pytest.mark.parametrize("alias", ["max_gen_toks", "max_new_tokens", "max_tokens"])
def test_a_budget_from_gen_kwargs_is_a_budget(alias: str) -> None:
    results, model = sit(oracle, gen_kwargs={alias: 64, "temperature": 0.7, "do_sample": True})
    assert "at most 64 tokens" in model.prompts[0]
    assert record(results)["deviations"] == ["budget=64", "do_sample=True", "temperature=0.7"]


def test_a_temperature_alone_means_sampling() -> None:
    generations = []

    def responder(instance: Instance, sample: int) -> str:
        generations.append(instance.args[1])
        return oracle(instance, sample)

    results, _ = sit(responder, gen_kwargs="temperature=0.7")
    assert record(results)["deviations"] == ["do_sample=True", "temperature=0.7"]
    assert all(generation["do_sample"] is True for generation in generations)
    results, _ = sit(responder, gen_kwargs="temperature=0.7,do_sample=False")
    assert record(results)["deviations"] == ["temperature=0.7"]
    with pytest.raises(UsageError, match=shows("temperature", "'hot'")):
        sit(responder, gen_kwargs="temperature=hot")


def test_a_model_cannot_forge_the_mark_of_a_missing_response() -> None:
    results, _ = sit(always(NO_RESPONSE))
    assert (value(results, "error"), value(results, "unanswered")) == (0, 1)
    assert results["samples"][HARD][0]["resps"][0] == [f"{NO_RESPONSE} "]


def test_the_named_task_itself_carries_no_label() -> None:
    results, _ = sit(oracle, gen_kwargs={"temperature": 0.0, "max_gen_toks": 128})
    assert record(results)["deviations"] == []
    assert results["results"][HARD]["alias"] == HARD
    assert record(results)["prompt_sha256"] == prompt_sha256("direct")
    assert record(results)["exam_version"] == 1


def test_a_system_instruction_is_in_the_prompt_and_in_the_label() -> None:
    results, model = sit(oracle, system_instruction="Be brief.")
    assert model.prompts[0].startswith("Be brief.")
    assert record(results)["deviations"] == ["system_instruction"]


def test_another_seed_is_another_exam_set_and_labelled() -> None:
    results, _ = sit(oracle, metadata={"exam_seed": 7})
    assert record(results)["deviations"] == ["exam_seed=7"]
    assert results["samples"][HARD][0]["doc"]["exam_id"] == "tiny/7/000"


def test_a_paraphrase_reaches_prompt_label_and_record() -> None:
    results, model = sit(oracle, metadata={"paraphrase": 2})
    exam = find_exam("tiny/0/000")
    questions = [problem.question for problem in exam.ordered("hard")]
    assert model.prompts[0] == exam_prompt(questions, 128, paraphrase=2) != exam_prompt(questions, 128)
    assert value(results, "score") == 3
    assert results["results"][HARD]["alias"] == f"{HARD} [paraphrase=2]"
    found = record(results)
    assert (found["prompt"], found["paraphrase"], found["deviations"]) == ("direct", 2, ["paraphrase=2"])
    assert found["prompt_sha256"] == prompt_sha256("direct", 2)
    plain = record(sit(oracle)[0])
    assert (plain["paraphrase"], plain["prompt_sha256"]) == (0, prompt_sha256("direct"))


def test_all_repeats_are_used() -> None:
    def half_right(instance: Instance, sample: int) -> str:
        return oracle(instance) if sample % 2 else "nothing"

    results, model = sit(half_right, metadata={"repeats": 4})
    assert len(model.prompts) == 6 * 2 * 4
    assert value(results, "score") == 1.5
    assert value(results, "score_stderr") == 0  # every exam has the same mean
    assert len(results["samples"][HARD][0]["resps"][0]) == 4


def test_a_missing_response_is_an_error_and_marked_in_the_log() -> None:
    def lost_once(instance: Instance, sample: int) -> str | None:
        return None if instance.doc["exam_id"] == "tiny/0/002" else oracle(instance, sample)

    results, _ = sit(lost_once)
    assert value(results, "score") == 3
    assert value(results, "error") == pytest.approx(1 / 6)
    assert results["samples"][HARD][2]["resps"][0] == [NO_RESPONSE]


def test_samples_names_single_exams() -> None:
    results, _ = sit(oracle, limit=None, samples={HARD: [3, 10]})
    assert [sample["doc"]["exam_id"] for sample in results["samples"][HARD]] == ["tiny/0/003", "tiny/0/010"]


def test_predict_only_and_write_out_work() -> None:
    results, _ = sit(oracle, predict_only=True, write_out=True)
    assert len(results["samples"][HARD]) == 6
    assert results["samples"][HARD][0]["resps"][0][0].startswith("### Problem 1")


def test_fewshot_is_refused_with_a_reason() -> None:
    with pytest.raises(UsageError, match="--num_fewshot 3"):
        sit(oracle, num_fewshot=3)


@pytest.mark.parametrize(
    "metadata", [{"budget": 0}, {"budget": "many"}, {"budget": 1.5}, {"repeats": -1}, {"exam_seed": "x"}]
)
def test_settings_that_cannot_be_meant(metadata: dict[str, Any]) -> None:
    ((name, value),) = metadata.items()
    with pytest.raises(UsageError, match=shows(name, repr(value))):
        sit(oracle, metadata=metadata)


def test_two_budgets_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match=shows("max_new_tokens", 64, "max_tokens", 32)):
        sit(oracle, gen_kwargs={"max_new_tokens": 64, "max_tokens": 32})


def test_a_context_that_cannot_hold_prompt_and_budget_is_refused() -> None:
    with pytest.raises(ModelError, match=shows(HARD, 150)):
        sit(oracle, metadata={"tokenizer": str(model_path()), "max_length": 150})


def test_a_missing_chat_template_is_one_clear_error(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path())
    tokenizer.chat_template = None

    class Chatless(ScriptedModel):
        tokenizer_name = "none"

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            text: str = tokenizer.apply_chat_template(
                chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
            )
            return text

    with pytest.raises(ModelError, match="--apply_chat_template"):
        simple_evaluate([HARD], model=Chatless(oracle), model_args={}, metadata=None, limit=3, apply_chat_template=True)


def test_values_keep_their_terms_between_processes() -> None:
    one = ExamValue(0.5, ExamTerm(1.0, 2.0, "aime/2025/I/1"))
    two = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
    assert (two, two.term) == (one, one.term)


def test_cached_requests_never_bring_back_another_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    for budget in (64, 2048):
        _, model = sit(oracle, metadata={"budget": budget}, cache_requests=True)
        assert f"at most {budget} tokens" in model.prompts[0]
