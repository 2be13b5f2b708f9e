"""Sampling of the base model: resumed equals uninterrupted, journals checked, early stop, memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roi_bench.errors import ModelError, RecordError
from roi_bench.grading.grader import shared_grader
from roi_bench.records.journal import Entry, Header, Journal, read_journal
from roi_bench.scoring.prompts import exam_messages
from roi_bench.scoring.tokens import Usage
from roi_bench.training.mft.labels import SampledSolution
from roi_bench.training.mft.mft import (
    EARLY_LOOK,
    BaseModelEngine,
    grade_samples,
    sample_solutions,
    sampling_requests,
    solution_cap,
)
from roi_bench.training.plan.recipe import Sampling, TierCounts, load_recipe
from tests.support.exam_factory import make_exam
from tests.training.tiny_labels import problems

HEADER = Header({"model": "fake", "seed": 0}, {"batch_size": 4})


def recipe(samples=3, **settings):
    return replace(load_recipe("test"), sampling=Sampling(TierCounts(1, 1, 1), samples, **settings))


def requests_of(per_tier=2, samples=3, wrap=str, **settings):
    return sampling_requests(recipe(samples, **settings), problems(per_tier), wrap)


class FakeModel(BaseModelEngine):
    """Answers as a function of prompts and seed; dies after ``calls`` batches. Counts what it was asked."""

    def __init__(self, calls=None, text="### Problem 1\n{}\n\\boxed{{5}}\n", batch_size=4, seed=100):
        super().__init__(None, None, Sampling(TierCounts(1, 1, 1), batch_size=batch_size), 128, seed)
        self.calls, self.text, self.asked = calls, text, []

    def _write(self, prompts, seed):
        if self.calls is not None and len(self.asked) >= self.calls:
            raise KeyboardInterrupt
        self.asked.append((len(prompts), seed))
        return [
            (self.text.format(hash_of(prompt, seed, index)), Usage(10 + index, "stop", "generated"))
            for index, prompt in enumerate(prompts)
        ]


def hash_of(*parts):
    return sum(map(ord, repr(parts))) * 7919 % 100_003


def sample(requests, path, model, header=HEADER):
    return sample_solutions(requests, header, path, lambda: model)


# ----------------------------------------------------------------- requests


def test_requests_go_sample_by_sample_within_each_tier():
    found = [(request.tier, request.sample, request.problem.id) for request in requests_of(2, 2)]
    ids = {tier: [problem.id for problem in items] for tier, items in problems(2).items()}
    assert found == [
        (tier, number, name) for tier in ("easy", "middle", "hard") for number in (0, 1) for name in ids[tier]
    ]


def test_prompts_are_those_of_the_solo_task_wrapped_in_the_chat_template():
    request = requests_of(wrap=lambda messages: f"<user>{messages[-1]['content']}</user>")[0]
    assert request.args[0] == f"<user>{exam_messages([request.problem.question], 128, 'solo')[0]['content']}</user>"


def test_keys_tell_prompt_sample_temperature_and_cap_apart():
    keys = [{request.key for request in requests_of(**settings)} for settings in (
        {}, {"temperature": 0.5}, {"cap": 100},
    )]  # fmt: skip
    assert [len(found) for found in keys] == [18, 18, 18]
    assert len(set.union(*keys)) == 54
    assert {request.key for request in requests_of(samples=1)} < keys[0]


def test_the_cap_is_the_upper_bound_of_level_2_or_the_recipes():
    assert solution_cap(recipe(), problems(1)) == 128
    assert solution_cap(recipe(cap=77), problems(1)) == 77
    easy, middle, hard = make_exam().problems
    assert solution_cap(recipe(), {"easy": [easy], "middle": [middle], "hard": [hard]}) == 1024


# ----------------------------------------------------------------- resume


@pytest.mark.parametrize("calls", [0, 1, 3, 4])
def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, calls):
    requests = requests_of()
    whole = sample(requests, tmp_path / "whole.jsonl", FakeModel())
    path = tmp_path / "killed.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sample(requests, path, FakeModel(calls))
    rest = FakeModel()
    assert sample(requests, path, rest) == whole
    assert rest.asked == [(4, 100), (4, 101), (4, 102), (4, 103), (2, 104)][calls:]
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [entry.key for entry in whole] == [request.key for request in requests]


def test_what_is_recorded_says_problem_cap_and_usage(tmp_path):
    requests = requests_of()
    for request, entry in zip(requests, sample(requests, tmp_path / "s.jsonl", FakeModel()), strict=True):
        assert entry.extra == {"problem": request.problem.id, "budget": 128}
        assert entry.usage.source == "generated"


def test_a_finished_run_loads_no_model(tmp_path):
    requests = requests_of()
    first = sample(requests, tmp_path / "s.jsonl", FakeModel())

    def make_engine():
        raise AssertionError("a model was loaded")

    again = sample_solutions(requests, HEADER, tmp_path / "s.jsonl", make_engine)
    assert again == first


def test_the_model_is_loaded_once(tmp_path):
    loaded = []

    def make_engine():
        loaded.append(1)
        return FakeModel()

    sample_solutions(requests_of(), HEADER, tmp_path / "s.jsonl", make_engine)
    assert loaded == [1]


def test_more_samples_keep_those_that_are_there(tmp_path):
    path = tmp_path / "s.jsonl"
    two = sample(requests_of(samples=2), path, FakeModel(batch_size=2))
    model = FakeModel(batch_size=2)
    requests = requests_of(samples=3)
    three = sample(requests, path, model)
    assert [entry.key for entry in three] == [request.key for request in requests]  # not as they were written
    assert set(map(repr, two)) < set(map(repr, three))
    assert len(model.asked) == 3  # the third samples of two problems a tier


@pytest.mark.parametrize("torn", [False, True])
def test_a_batch_of_which_a_kill_left_a_part_is_asked_again_and_what_is_there_stays(tmp_path, torn):
    """Also where the model does not give the very same texts again, as may be on a GPU."""
    requests, path = requests_of(), tmp_path / "s.jsonl"
    sample(requests, path, FakeModel())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + (lines[7][:30] if torn else b""))  # header, 6 of 18 responses
    kept = read_journal(path)[1]
    model = FakeModel(text="### Problem 1\nanother {}\n\\boxed{{6}}\n")
    found = sample(requests, path, model)
    assert model.asked[0] == (4, 101)
    assert [entry.response for entry in found[:6]] == [entry.response for entry in kept.values()]
    assert all("another" in entry.response for entry in found[6:])


# ----------------------------------------------------------------- journals that must not be used


def test_the_journal_of_another_run_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    sample(requests_of(), path, FakeModel())
    other = Header({"model": "another", "seed": 0})
    with pytest.raises(RecordError, match=r"model.*'fake'.*'another'"):
        sample(requests_of(), path, FakeModel(), header=other)


def test_another_batch_size_is_the_same_run(tmp_path):
    """What the advice for a full memory says to lower must not make the journal unusable."""
    requests, path = requests_of(), tmp_path / "s.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sample(requests, path, FakeModel(2))
    found = sample(requests, path, FakeModel(batch_size=2), header=replace(HEADER, about={"batch_size": 2}))
    assert len({entry.key for entry in found}) == 18


def test_a_damaged_journal_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    sample(requests_of(), path, FakeModel())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"{damaged\n", *lines[4:]]))
    with pytest.raises(RecordError, match=r"s\.jsonl.*4"):
        sample(requests_of(), path, FakeModel())


# ----------------------------------------------------------------- early stop, memory


@pytest.mark.parametrize("batch_size", [4, 100, 1000])
def test_a_model_that_never_writes_a_readable_answer_stops_the_sampling(tmp_path, batch_size):
    requests = requests_of(per_tier=200, samples=2)
    model = FakeModel(text="I cannot do that {}.", batch_size=batch_size)
    with pytest.raises(ModelError, match=r"none of the first \d+ .*boxed"):
        sample(requests, tmp_path / "s.jsonl", model)
    assert sum(size for size, _ in model.asked) == min(1000, -(-EARLY_LOOK // batch_size) * batch_size)
    again = FakeModel(text="I cannot do that {}.", batch_size=batch_size)
    with pytest.raises(ModelError, match=r"chat: true"):
        sample(requests, tmp_path / "s.jsonl", again)
    assert not again.asked


def test_one_readable_answer_is_enough_to_go_on(tmp_path):
    class Rarely(FakeModel):
        def _write(self, prompts, seed):
            answers = super()._write(prompts, seed)
            return [("\\boxed{5}", answers[0][1]), *answers[1:]] if seed == 103 else answers

    requests = requests_of(per_tier=200, samples=2)
    assert len(sample(requests, tmp_path / "s.jsonl", Rarely(text="No {}.", batch_size=50))) == 1200


def test_a_small_run_is_not_judged_early(tmp_path):
    assert len(sample(requests_of(), tmp_path / "s.jsonl", FakeModel(text="No {}."))) == 18


def test_out_of_memory_says_what_to_lower_and_keeps_what_is_there(tmp_path):
    class Full(FakeModel):
        def _write(self, prompts, seed):
            if seed == 102:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return super()._write(prompts, seed)

    path = tmp_path / "s.jsonl"
    with pytest.raises(ModelError, match=r"s\.jsonl.*sampling\.batch_size \(4\)"):
        sample(requests_of(), path, Full())
    assert len(read_journal(path)[1]) == 8


def test_other_failures_of_the_model_are_named_and_keep_what_is_there(tmp_path):
    class Broken(FakeModel):
        def _write(self, prompts, seed):
            raise RuntimeError("shape mismatch")

    with pytest.raises(ModelError, match=r"RuntimeError: shape mismatch.*s\.jsonl"):
        sample(requests_of(), tmp_path / "s.jsonl", Broken())


def test_a_generation_that_failed_is_asked_for_again_and_never_taken_for_a_wrong_answer(tmp_path):
    """vLLM can fail in the middle of one response; the journal then holds the failure."""

    class Failing(FakeModel):
        def _write(self, prompts, seed):
            answers = super()._write(prompts, seed)
            return [(None, None), *answers[1:]] if seed == 101 else answers

    requests, path = requests_of(), tmp_path / "s.jsonl"
    with pytest.raises(ModelError, match="missing samples: 1,"):
        sample(requests, path, Failing())
    model = FakeModel()
    assert all(entry.response for entry in sample(requests, path, model))
    assert model.asked == [(4, 101)]


def test_the_engine_is_closed_also_when_it_fails(tmp_path):
    closed = []

    class Noted(FakeModel):
        def close(self):
            closed.append(len(self.asked))

    sample(requests_of(), tmp_path / "whole.jsonl", Noted())
    with pytest.raises(KeyboardInterrupt):
        sample(requests_of(), tmp_path / "s.jsonl", Noted(calls=1))
    assert closed == [5, 1]


def test_samples_of_an_earlier_release_are_taken_as_they_are(tmp_path):
    """It wrote the tier beside each response, under the same key."""
    requests, path = requests_of(), tmp_path / "s.jsonl"
    with Journal(path, HEADER) as journal:
        journal.append(
            Entry(one.key, "\\boxed{5}", Usage(3, "stop", "generated"), {"problem": one.problem.id, "tier": one.tier})
            for one in requests[:8]
        )
    model = FakeModel()
    assert [entry.response for entry in sample(requests, path, model)[:8]] == ["\\boxed{5}"] * 8
    assert model.asked == [(4, 102), (4, 103), (2, 104)]


# ----------------------------------------------------------------- grading


def test_samples_are_graded_by_the_benchmark(tmp_path):
    requests = requests_of(per_tier=1, samples=2)

    class Solver(FakeModel):
        def _write(self, prompts, seed):
            by_prompt = {request.args[0]: request.problem for request in requests}
            texts = [f"### Problem 1\n{by_prompt[prompt].solution}" for prompt in prompts]
            if seed == 101:
                texts = [text.replace("\\boxed{", "\\boxed{1") for text in texts]  # another number
            return [(text, Usage(50, "stop", "generated")) for text in texts]

    entries = sample(requests, tmp_path / "s.jsonl", Solver(batch_size=1))
    found = grade_samples(requests, entries, shared_grader(), 128)
    assert list(found) == [problem.id for items in problems(1).values() for problem in items]
    assert [[one.correct for one in samples] for samples in found.values()] == [[True, False], [True, True], [True] * 2]
    solution = problems(1)["easy"][0].solution
    assert found[problems(1)["easy"][0].id][0] == SampledSolution(f"### Problem 1\n{solution}", True)


def test_a_sample_over_its_cap_is_not_correct(tmp_path):
    requests = requests_of(per_tier=1, samples=1)[:1]
    problem = requests[0].problem

    class Long(FakeModel):
        def _write(self, prompts, seed):
            return [(problem.solution, Usage(129, "stop", "generated"))]

    entries = sample(requests, tmp_path / "s.jsonl", Long())
    assert [one.correct for one in grade_samples(requests, entries, shared_grader(), 128)[problem.id]] == [False]
