"""Exam sets by name, and exams by id."""

from collections import Counter

import pytest

from roi_bench.errors import DataError, UsageError
from roi_bench.exams.manifest import load_manifest
from roi_bench.exams.sets import find_exam, load_exams, training_exams
from tests.support.messages import shows


@pytest.mark.parametrize("exam_set", ["fresh", "tiny"])
def test_generated_sets_have_480_exams_with_balanced_prefixes(exam_set):
    exams = load_exams(exam_set, seed=5)
    assert [exam.id for exam in exams] == [f"{exam_set}/5/{index:03d}" for index in range(480)]
    for k in range(1, 17):
        assert set(Counter(exam.medium for exam in exams[: 30 * k]).values()) == {10 * k}
    assert len({exam.cluster for exam in exams}) == 480
    assert load_exams(exam_set, seed=5) is exams
    assert load_exams(exam_set, seed=6) != exams


def test_unknown_sets_and_seeds():
    with pytest.raises(UsageError, match=shows("'fersh'", "'fresh'")):
        load_exams("fersh")
    with pytest.raises(UsageError, match=shows("'v1'", "seed", 3)):
        load_exams("v1", seed=3)


@pytest.mark.parametrize("exam_id", ["fresh/5/007", "fresh/-1/000", "tiny/5/479"])
def test_an_exam_is_found_by_its_id(exam_id):
    assert find_exam(exam_id).id == exam_id


@pytest.mark.parametrize(
    "exam_id",
    ["", "v1/7", "v1/0007", "v2/000", "v1/0/000", "fresh/000", "fresh/x/000", "tiny/0/٠٠٠", "v1/000\n", "x" * 10_000],
)
def test_what_is_no_exam_id(exam_id):
    with pytest.raises(UsageError, match=shows(repr(exam_id)[:80], "v1/000", "fresh/SEED/000")) as error:
        find_exam(exam_id)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("exam_id", ["tiny/0/480", "fresh/0/0001", "fresh/00/001"])
def test_an_id_that_no_exam_has(exam_id):
    exam_set = exam_id.partition("/")[0]
    with pytest.raises(UsageError, match=shows(repr(exam_id), f"{exam_set}/0/000", f"{exam_set}/0/479")):
        find_exam(exam_id)


def test_training_exams_of_invented_pools(invented_pools):
    exams = training_exams(3, 60, source=invented_pools)
    assert [exam.id for exam in exams[:2]] == ["train/3/000", "train/3/001"]
    assert training_exams(3, 20, source=invented_pools) == exams[:20]
    assert training_exams(4, 20, source=invented_pools) != exams[:20]
    assert all(problem.id.split("/")[1] == "training" for exam in exams for problem in exam.problems)
    assert find_exam("train/3/041", source=invented_pools) == exams[41]


def test_the_frozen_exams_refuse_other_pools(invented_pools):
    with pytest.raises(DataError, match=r"\bgsm8k/test/\d+\b.*\bgsm8k pool\b"):
        load_exams("v1", source=invented_pools)


def test_the_frozen_exams_of_the_real_pools(data_dir):
    exams = load_exams("v1", source=data_dir)
    assert len(exams) == 480
    assert set(Counter(exam.cluster for exam in exams).values()) == {16}
    assert find_exam("v1/017", source=data_dir) is exams[17]
    with pytest.raises(UsageError, match=shows("'v1/480'", "v1/000", "v1/479")):
        find_exam("v1/480", source=data_dir)


def test_real_training_exams_hold_no_question_of_the_manifest(data_dir):
    frozen = {problem.question_sha256 for problem in load_manifest().problems.values()}
    exams = training_exams(0, 2000, source=data_dir)
    assert not frozen & {problem.sha256 for exam in exams for problem in exam.problems}
    for k in range(1, 23):
        prefix = exams[: 90 * k]
        assert set(Counter(exam.cluster for exam in prefix).values()) == {k}
        assert set(Counter(exam.problems[1].level for exam in prefix).values()) == {18 * k}
