"""The tiny model: tokenizer round trips, tier costs, training end to end, and what the shipped model can do."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.errors import UsageError
from roi_bench.exams.tiny import TINY_BUDGETS, is_evaluation_question, model_path, tiny_exams
from roi_bench.scoring.prompts import PROMPTS, exam_messages, exam_prompt, worked_response
from roi_bench.tiny_family import base as tiny_base
from roi_bench.tiny_family.base import evaluate, generate_texts
from roi_bench.tiny_family.data import batches, form_text, training_text
from roi_bench.tiny_family.model import (
    END,
    LEVEL_TAGS,
    Shape,
    build_tokenizer,
    instruction_pieces,
    step_in_float32,
    template_pieces,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TIGHT, LOOSE = TINY_BUDGETS
SMALL = tiny_base.Settings(
    seed=3, steps=80, form_steps=20, batch_tokens=512, curriculum_texts=300, shape=Shape(32, 1, 2, 64)
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def model():
    return transformers.AutoModelForCausalLM.from_pretrained(model_path())


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


# ---------------------------------------------------------------- tokenizer


def test_shipped_tokenizer_is_the_one_the_code_builds(tokenizer):
    built = build_tokenizer()
    assert tokenizer.get_vocab() == built.get_vocab()
    definitions = [json.loads(each.backend_tokenizer.to_str()) for each in (tokenizer, built)]
    for definition in definitions:
        del definition["padding"], definition["truncation"]  # state of the last call, not part of the definition
    assert definitions[0] == definitions[1]
    assert tokenizer.chat_template == built.chat_template
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token) == ("<|pad|>", END, None)


@given(st.text() | st.text(alphabet="0123456789 +-*\n#\\{}ProblemNA<>"))
@settings(max_examples=300, deadline=None)
def test_any_text_survives(text):
    tokenizer = TOKENIZER
    tokens = ids(tokenizer, text)
    assert tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text
    assert ids(tokenizer, tokenizer.decode(tokens)) == tokens
    assert tokenizer(text)["input_ids"] == tokens, "no token is added unasked"


TOKENIZER = build_tokenizer()


@pytest.mark.parametrize(
    "text", ["7", " 7", "47", " 47", " +7", " -12", " *37", "\\boxed{", "NA", "### Problem 2\n", *LEVEL_TAGS]
)
def test_pieces_of_a_step_are_one_token(text):
    assert len(ids(TOKENIZER, text)) == 1


def test_special_tokens_are_left_out_on_request():
    tokens = ids(TOKENIZER, "1 +7 49\n\\boxed{49}" + END)
    assert TOKENIZER.decode(tokens, skip_special_tokens=True) == "1 +7 49\n\\boxed{49}"
    assert TOKENIZER.decode(tokens).endswith(END)


def test_every_prompt_costs_few_tokens():
    questions = [problem.question for problem in tiny_exams(0, 1)[0].problems]
    for name, prompt in PROMPTS.items():
        asked = questions if prompt.kind == "exam" else questions[:1]
        assert len(ids(TOKENIZER, exam_prompt(asked, TIGHT, name, (32, 64, 128)))) <= 70


def test_the_vocabulary_of_the_first_part_is_a_prefix_so_that_its_weights_stay_valid():
    first = build_tokenizer(extended=False)
    vocabulary = TOKENIZER.get_vocab()
    assert all(vocabulary[text] == index for text, index in first.get_vocab().items())
    assert len(vocabulary) == len(first) + len(instruction_pieces())
    text = exam_prompt([problem.question for problem in tiny_exams(0, 1)[0].problems], TIGHT)
    assert ids(first, text) == ids(TOKENIZER, text)


def test_chat_template_is_the_one_trained_on(tokenizer):
    texts = [training_text(0, i).prompt for i in range(400)]
    for roles in (["system", "user"], ["user"]):  # the direct prompt; some with other instructions have no system turn
        chat = next(text for text in texts if text.startswith(f"<|{roles[0]}|>"))
        turns = chat.removesuffix("<|assistant|>\n").split(f"{END}\n")[:-1]
        messages = [
            {"role": role, "content": turn.removeprefix(f"<|{role}|>\n")}
            for role, turn in zip(roles, turns, strict=True)
        ]
        assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == chat


# ---------------------------------------------------------------- tiers and budgets


def costs(problems):
    """Tokens of the whole response, its end included."""
    return len(ids(TOKENIZER, worked_response(problems) + END))


def test_tiers_cost_one_to_three_to_eight():
    exams = tiny_exams(0, 120)
    easy, middle, hard = (sum(costs([exam.problems[tier]]) for exam in exams) / 120 for tier in range(3))
    assert middle / easy == pytest.approx(3, rel=0.1)
    assert hard / easy == pytest.approx(8, rel=0.1)


def test_tight_budget_makes_the_choice_and_loose_budget_spares_it():
    for exam in tiny_exams(0, 480):
        easy, middle, hard = exam.problems
        assert costs([easy, middle]) <= TIGHT
        assert costs([hard]) <= TIGHT
        assert costs([easy, middle, hard]) <= LOOSE
        assert costs([middle, hard]) > TIGHT


# ---------------------------------------------------------------- training


def questions_in(prompt):
    """The questions of a prompt; the last one of a conversation ends with its turn."""
    return [line.removesuffix(END) for line in prompt.split("\n") if line.startswith("Start at")]


def test_texts_are_a_function_of_seed_and_number_and_never_hold_an_evaluation_problem():
    assert [training_text(1, i) for i in range(40)] == [training_text(1, i) for i in range(40)]
    assert training_text(1, 0) != training_text(2, 0)
    lines = [line for i in range(500) for line in questions_in(training_text(0, i).prompt)]
    assert len(lines) > 500
    assert not any(map(is_evaluation_question, lines))


def test_the_second_part_shows_every_prompt_and_forecasts_that_tell_nothing():
    texts = [form_text(0, number) for number in range(1500)]
    assert texts == [form_text(0, number) for number in range(1500)]
    for name, prompt in PROMPTS.items():
        pieces = [piece for piece in template_pieces(prompt.template) if len(piece) > 8]
        assert any(all(piece in text.prompt for piece in pieces) for text in texts), name
    questions = [line for text in texts for line in questions_in(text.prompt)]
    assert not any(map(is_evaluation_question, questions))
    # A problem of 26 steps is called Level-0 as often as one of 2.
    shares = []
    for steps in (r", [23] times", r", (26|27|28|29|30) times"):
        alone = [
            t.completion for t in texts if len(re.findall("Start at", t.prompt)) == 1 and re.search(steps, t.prompt)
        ]
        levels = [int(found[1]) for text in alone if (found := re.search(r"Level-([012])<", text))]
        assert len(levels) > 60
        shares.append(levels.count(0) / len(levels))
    assert shares == pytest.approx([1 / 3, 1 / 3], abs=0.2)


def test_the_second_part_leaves_what_was_learned_readable():
    run = tiny_base.start(SMALL)
    before = run.model.get_input_embeddings().weight.detach().clone()
    after = tiny_base.second_part(run)
    weights = after.model.get_input_embeddings().weight
    tags = [ids(TOKENIZER, tag)[0] for tag in LEVEL_TAGS]
    kept = [index for index in range(len(before)) if index not in tags]
    assert torch.equal(weights[kept], before[kept])
    assert after.model.config.vocab_size == len(TOKENIZER)
    assert (after.losses, after.steps, after.forms) == ([], SMALL.form_steps, True)


def test_batches_resume_where_they_stopped():
    def first(count, skip):
        stream = batches(TOKENIZER, 0, 4096, 100, skip)
        return [next(stream) for _ in range(count)]

    assert first(60, 0)[25:] == first(35, 25)


def test_training_lowers_the_loss_and_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = tiny_base.start(SMALL)
    tiny_base.train(whole, tmp_path / "whole.pt", every=1000)
    assert sum(whole.losses[-4:]) < 0.8 * sum(whole.losses[:4])

    stopped = tiny_base.start(SMALL)
    tiny_base.train(stopped, tmp_path / "parts.pt", every=1000, until=37)
    resumed = tiny_base.start(SMALL)
    tiny_base.train(resumed, tmp_path / "parts.pt", every=1000)
    assert resumed.losses == whole.losses
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    run = tiny_base.start(SMALL)
    tiny_base.save_checkpoint(run, tmp_path / "checkpoint.pt")
    other = tiny_base.start(tiny_base.Settings(seed=4, steps=80, shape=SMALL.shape))
    with pytest.raises(UsageError, match=r"checkpoint\.pt"):
        tiny_base.resume(other, tmp_path / "checkpoint.pt")


def test_without_muon_adamw_takes_over_and_says_so(monkeypatch, capsys):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    run = tiny_base.start(SMALL)
    assert run.optimizer_names == "AdamW"
    assert "no Muon" in capsys.readouterr().err
    before = {name: weights.clone() for name, weights in run.model.state_dict().items()}
    tiny_base.train_step(run, next(batches(TOKENIZER, 0, 512, 100)))
    assert all(not torch.equal(before[name], weights) for name, weights in run.model.named_parameters())


def test_the_command_writes_a_model_folder(tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.setattr(tiny_base, "CONDITIONS", (("hard", TIGHT),))
    result = CliRunner().invoke(
        tiny_base.main, ["--out", str(tmp_path), "--steps", "3", "--form-steps", "2", "--exams", "2"]
    )
    assert result.exit_code == 0, result.output
    assert "| hard | 128 | 2 |" in result.output
    assert json.loads((tmp_path / "training.json").read_text("utf-8"))["settings"]["steps"] == 3
    assert "| hard | 128 | 2 |" in (tmp_path / "README.md").read_text("utf-8")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.num_parameters() == transformers.AutoModelForCausalLM.from_pretrained(model_path()).num_parameters()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert ids(tokenizer, "Start at 47.") == ids(TOKENIZER, "Start at 47.")


# ---------------------------------------------------------------- the shipped model


def test_shipped_folder_is_small_and_plain():
    files = {path.name: path.stat().st_size for path in model_path().iterdir()}
    assert sum(files.values()) <= 8 * 2**20
    assert {"config.json", "generation_config.json", "model.safetensors", "README.md", "tokenizer.json"} <= set(files)
    assert not [name for name in files if name.endswith((".pt", ".bin"))]


def test_shipped_model_is_a_standard_float32_architecture(model):
    assert type(model).__module__.startswith("transformers.models.")
    assert model.dtype == torch.float32
    assert model.config.max_position_embeddings >= 8192
    assert model.generation_config.eos_token_id == TOKENIZER.eos_token_id


def test_shipped_model_solves_the_exams_imperfectly(model, tokenizer):
    rows = evaluate(model, tokenizer, tiny_exams(0, 48), conditions=(("easy", LOOSE), ("easy", TIGHT), ("hard", TIGHT)))
    alone, easy_loose, easy_tight, hard_tight = rows
    for row in (alone, easy_loose):
        assert row.accuracy(0) >= 0.9
        assert 0.65 <= row.accuracy(1) <= 1.0
        assert row.accuracy(2) <= 0.3
    assert hard_tight.score < easy_tight.score - 0.8


def test_shipped_model_writes_headers_in_order_and_ends_and_its_tokens_can_be_counted_again(model, tokenizer):
    exams = tiny_exams(2, 8)
    prompts = [exam_prompt([problem.question for problem in exam.ordered("hard")], LOOSE) for exam in exams]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(**inputs, max_new_tokens=LOOSE, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    for row in output.tolist():
        assert END in tokenizer.decode(row), "the response ends by itself"
        generated = row[: row.index(tokenizer.eos_token_id)]
        text = tokenizer.decode(generated, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert [line for line in text.split("\n") if line.startswith("#")] == [f"### Problem {k}" for k in (1, 2, 3)]
        assert ids(tokenizer, text) == generated


def test_shipped_model_reads_chat_prompts_and_other_budgets(model, tokenizer):
    problems = [exam.problems[0] for exam in tiny_exams(2, 16)]
    prompts = [
        tokenizer.apply_chat_template(
            exam_messages([problem.question], 517), tokenize=False, add_generation_prompt=True
        )
        for problem in problems
    ]
    texts = generate_texts(model, tokenizer, prompts, TIGHT)
    assert sum(f"\\boxed{{{p.answer}}}" in text for p, text in zip(problems, texts, strict=True)) >= 13


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon")
def test_a_step_in_float32_is_muons_own_without_the_rounding_of_bfloat16() -> None:
    start = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    moved = []
    for step in (torch.optim.Muon.step, step_in_float32):
        weight = torch.nn.Parameter(start.clone())
        optimizer = torch.optim.Muon([weight], lr=0.02, momentum=0.95, weight_decay=0.0)
        for seed in range(3):
            gradient = torch.randn(24, 16, generator=torch.Generator().manual_seed(seed))
            weight.grad = gradient.clone()
            step(optimizer)
            assert torch.equal(weight.grad, gradient)
        moved.append(weight.detach() - start)
    torch.testing.assert_close(moved[1], moved[0], rtol=0.05, atol=0.002)
    assert not torch.equal(moved[0], moved[1])
