"""The manifest: built the same way every time, frozen by hash, and every difference named."""

import json
from collections import Counter
from importlib import resources

import pytest

from roi_bench.errors import DataError
from roi_bench.exams.exam import POOL_TIERS, Problem
from roi_bench.exams.manifest import (
    MANIFEST_FILE,
    MANIFEST_SEED,
    answers_sha256,
    build_manifest,
    content_sha256,
    differences,
    load_manifest,
    manifest_exams,
    manifest_text,
    parse_manifest,
    squeezed_sha256,
    training_triples,
    usable,
)
from roi_bench.exams.pools import load_pool
from tests.support.messages import shows
from tests.support.pool_factory import write_pools


def pools(folder, split):
    return {pool: load_pool(pool, split, folder) for pool in POOL_TIERS}


def build(folder, seed=7):
    return build_manifest(pools(folder, "evaluation"), pools(folder, "training"), seed)


def frozen_text():
    return (resources.files("roi_bench") / "data" / MANIFEST_FILE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def document(invented_pools):
    return build(invented_pools)


@pytest.fixture(scope="module")
def manifest(document):
    return parse_manifest(manifest_text(document), "here")


def check_shape(manifest, levels):
    """Check what SPEC section 3 says of the 480 triples; ``levels`` gives the level of a MATH problem."""
    triples = list(manifest.triples.values())
    assert list(manifest.triples) == [f"v1/{index:03d}" for index in range(480)]
    assert len({triple.easy for triple in triples}) == len({triple.middle for triple in triples}) == 480
    for k in range(1, 17):
        prefix = triples[: 30 * k]
        assert set(Counter(triple.hard for triple in prefix).values()) == {k}
        assert set(Counter(triple.medium for triple in prefix).values()) == {10 * k}
        assert Counter(levels(triple.middle) for triple in prefix) == dict.fromkeys(range(1, 6), 6 * k)
    assert len({triple.hard for triple in triples}) == 30
    assert set(manifest.problems) == {name for triple in triples for name in triple.ids}


def test_480_balanced_triples_of_distinct_problems(manifest, invented_pools):
    math = load_pool("math", "evaluation", invented_pools)
    check_shape(manifest, lambda name: math[name].level)
    assert manifest.pools["gsm8k/training"][0] == 130


def test_the_same_input_gives_the_same_bytes_and_another_seed_others(document, invented_pools, tmp_path):
    again = build(write_pools(tmp_path))
    assert manifest_text(again) == manifest_text(document)
    assert build(invented_pools, seed=8)["exams"] != document["exams"]


def test_the_manifest_holds_no_text(document, invented_pools):
    text = manifest_text(document)
    assert json.loads(text) == document
    assert "Invented" not in text


def test_figures_several_boxes_and_training_twins_are_left_out(tmp_path):
    twin = "Invented math question 3 of the training\tsplit: whatis 3+1?"
    changes = {
        "math/evaluation/0": {"question": "See [asy] draw(); [/asy]"},
        "math/evaluation/1": {"solution": r"\boxed{1} or \boxed{2}"},
        "math/evaluation/2": {"solution": r"\boxed{1} or \fbox{2}"},
        "math/evaluation/3": {"question": twin},
        "gsm8k/evaluation/0": {"question": "Invented gsm8k question 0 of the training split: what is 0 + 1?"},
    }
    folder = write_pools(tmp_path, changes)
    math = load_pool("math", "evaluation", folder)
    assert [usable(math[f"math/evaluation/{index}"]) for index in range(5)] == [False, False, False, True, True]
    for seed in range(4):
        assert not set(changes) & set(build(folder, seed)["problems"])


def test_squeezed_hashes_ignore_white_space_only():
    one, two, three = (squeezed_sha256(Problem("x", "math", text, "1")) for text in ("a b\nc", "abc", "abd"))
    assert one == two != three


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"aime/evaluation/4": None}, ("aime", 29, 30)),
        ({f"gsm8k/evaluation/{index}": None for index in range(130)}, ("gsm8k", 470, 480)),
        ({f"math/evaluation/{5 * index}": {"level": 2} for index in range(30)}, ("math", 90, "level 1", 96)),
    ],
)
def test_pools_too_small_are_refused(tmp_path, changes, facts):
    with pytest.raises(DataError, match=shows(*facts)):
        build(write_pools(tmp_path, changes))


def test_exams_carry_the_problems_of_the_pools(manifest, invented_pools):
    evaluation = pools(invented_pools, "evaluation")
    exams = manifest_exams(manifest, evaluation)
    assert differences(manifest, evaluation) == []
    for exam, (name, triple) in zip(exams, manifest.triples.items(), strict=True):
        assert (exam.id, exam.medium, exam.cluster) == (name, triple.medium, triple.hard)
        assert [problem.pool for problem in exam.problems] == list(POOL_TIERS)
        assert tuple(problem.id for problem in exam.problems) == triple.ids


def test_a_missing_or_changed_problem_is_named_with_pool_and_both_hashes(manifest, tmp_path):
    missing, changed, answered = (next(key for key in manifest.problems if key.startswith(p)) for p in POOL_TIERS)
    changes = {missing: None, changed: {"question": "Other?"}, answered: {"also_accepted": ["81"]}}
    evaluation = pools(write_pools(tmp_path, changes), "evaluation")
    found = differences(manifest, evaluation)
    assert len(found) == 3
    other, accepted = evaluation["math"][changed], evaluation["aime"][answered]
    for message, name, pool, hashes in zip(
        found,
        (missing, changed, answered),
        POOL_TIERS,
        (
            [manifest.problems[missing].question_sha256, "none"],
            [manifest.problems[changed].question_sha256, other.sha256],
            [manifest.problems[answered].answers_sha256, answers_sha256(accepted)],
        ),
        strict=True,
    ):
        assert all(part in message for part in (name, pool, *hashes))
    with pytest.raises(DataError) as error:
        manifest_exams(manifest, evaluation)
    assert str(error.value) == found[0]


def test_a_pool_that_is_not_there_is_not_compared(manifest):
    assert differences(manifest, {}) == []


def test_an_altered_manifest_is_refused(document):
    text = manifest_text(document).replace('"EHM"', '"MEH"', 1)
    with pytest.raises(DataError, match=shows("here", document["sha256"])):
        parse_manifest(text, "here")


def resealed(document, **changes):
    changed = {**document, **changes}
    return manifest_text({**changed, "sha256": content_sha256(changed)})


def test_another_version_is_refused(document):
    with pytest.raises(DataError, match=shows("version 2", "version 1")):
        parse_manifest(resealed(document, version=2), "here")


def test_an_unknown_permutation_is_refused(document):
    first, *rest = document["exams"]
    with pytest.raises(DataError, match=shows("'HME'", "EHM", "MEH", "MHE")):
        parse_manifest(resealed(document, exams=[[*first[:4], "HME"], *rest]), "here")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": 1}', "[" * 100_000, "null"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(DataError, match=r"^here: "):
        parse_manifest(text, "here")


def test_training_triples_never_hold_a_question_of_the_manifest(invented_pools):
    training = pools(invented_pools, "training")
    banned = [problem for pool in training.values() for problem in list(pool.values())[:20]]
    triples = training_triples(training, [problem.sha256 for problem in banned], seed=3, count=400)
    used = {name for triple in triples for name in triple.ids}
    assert not used & {problem.id for problem in banned}
    assert len(used) == sum(len(pool) - 20 for pool in training.values())


# The frozen manifest itself.


def test_the_frozen_manifest_has_the_shape_of_the_specification():
    manifest = load_manifest()
    assert (manifest.version, manifest.seed, manifest.builder) == (1, MANIFEST_SEED, 1)
    assert len(manifest.problems) == 480 + 480 + 30
    assert Counter(frozen.pool for frozen in manifest.problems.values()) == {"gsm8k": 480, "math": 480, "aime": 30}
    twins = {"math/test/algebra/636", "math/test/precalculus/24307"}
    assert not twins & set(manifest.problems)


def test_the_frozen_manifest_is_rebuilt_byte_for_byte(data_dir):
    assert manifest_text(build(data_dir, MANIFEST_SEED)) == frozen_text()


def test_the_frozen_manifest_fits_the_real_pools(data_dir):
    evaluation = pools(data_dir, "evaluation")
    check_shape(load_manifest(), lambda name: evaluation["math"][name].level)
    assert all(usable(exam.problems[1]) for exam in manifest_exams(load_manifest(), evaluation))
