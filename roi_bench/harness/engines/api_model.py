"""``roi-api``: an lm_eval model for every API that litellm knows and every OpenAI-compatible server.

    lm_eval --model roi-api --model_args model=openai/gpt-4o-mini --tasks roi_exam_hard_512 …

Arguments: :class:`roi_bench.api.settings.ApiSettings`. Keys come from the environment. Every response is in a journal
on disk before anything else happens, under plain ``lm_eval`` too; the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from roi_bench.api.batches import BatchRecord, open_batches, record_path
from roi_bench.api.client import ApiClient
from roi_bench.api.gateway import ApiRequest, Ending, Gateway, OnOutcomes
from roi_bench.api.limits import Estimate, Price, Purse, estimate, usd_text
from roi_bench.api.preflight import check_body, check_parameters, why_not_applicable
from roi_bench.api.settings import (
    ABSENT,
    ApiSettings,
    api_settings,
    chat_prompt,
    is_conversation,
    leaves_decoding,
    messages_of,
    neutral_parameters,
    request_parameters,
    with_neutral,
)
from roi_bench.errors import ModelError, UsageError
from roi_bench.harness.ending import EndedEarlyError, TerminatedError, install_one_line_errors
from roi_bench.harness.engines.api import maybe_paid, paid, request_name, with_budget
from roi_bench.harness.engines.local import version_of
from roi_bench.records.journal import Header, Journal, RequestKey, canonical_json


class ApiLM(LM):
    """lm_eval model that sends requests to an API.

    Args:
        arguments: See :class:`roi_bench.api.settings.ApiSettings`.

    Raises:
        UsageError: An argument is invalid, or ``max_usd`` is given and the price is unknown.
        DependencyError: litellm is not installed.
        ModelError: litellm knows no such provider.
    """

    takes_decoding = True  # a request may leave it to the model: no temperature is sent then

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        install_one_line_errors()
        self.gateway = Gateway(api_settings(arguments))
        self.settings: ApiSettings = self.gateway.settings
        self.price = self._price()
        if self.settings.max_usd is not None and self.price is None:
            raise UsageError(
                f"max_usd was given, but the price of {self.settings.model} is unknown; add input_cost_per_token=… and "
                "output_cost_per_token=… (USD) to --model_args, or LITELLM_LOCAL_MODEL_COST_MAP=False to the "
                "environment for litellm's newest price list"
            )

    def _price(self) -> Price | None:
        facts = self.gateway.facts
        if facts.usd_in is None or facts.usd_out is None:
            return None
        if not self.settings.provider_batch:
            return Price(facts.usd_in, facts.usd_out)
        half_in, half_out = facts.usd_in / 2, facts.usd_out / 2  # the providers' discount, where the list has no price
        return Price(facts.batch_usd_in or half_in, facts.batch_usd_out or half_out)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that shape responses, for the journal's header; asks the server which software it runs."""
        make = self.gateway.make()
        neutral = neutral_parameters(make)
        return {**self.settings.identity(), **({"neutral": {"server": make, **neutral}} if neutral else {})}

    @property
    def facts(self) -> dict[str, Any]:
        """Client, kind of endpoint and who serves it (a provider, or a make of server), for journal and results."""
        versions = {"version": version_of("litellm"), "openai": version_of("openai")}
        server = self.gateway.make() if self.gateway.own_server else self.gateway.facts.provider
        return {"name": "api", "server": server, **versions, "endpoint": self.settings.endpoint}

    # ------------------------------------------------------------------------------------------------ before asking
    def check_server(self) -> None:
        """Check that the server is up: else a run would begin that does not switch off decoding of the server's own.

        Raises:
            ModelError: It is not. One that started in mid-run would be asked without the parameters of its make.
        """
        if self.gateway.make() == ABSENT:
            raise ModelError(
                f"no server answers at {self.gateway.own_server} yet; nothing was sent: start it, or correct base_url, "
                "and run the same command again"
            )

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return why this model cannot take exams under ``generation`` arguments, or None if it can.

        Raises:
            ModelError: It could, with other parameters, which the message names.
            UsageError: A generation argument is none that API models take.
        """
        generation = with_budget(generation)
        mapped = check_parameters(self.gateway, self.settings, self._parameters(generation))
        return why_not_applicable(self.gateway.facts, mapped, int(generation["max_gen_toks"]))

    def _parameters(self, generation: Mapping[str, Any]) -> dict[str, Any]:
        parameters = request_parameters(generation, self.settings)
        if "seed" in parameters and not self.gateway.takes("seed"):
            del parameters["seed"]  # ours, for repeatable samples where possible; not part of the task
        if leaves_decoding(generation):
            return parameters
        return with_neutral(parameters, self.gateway.make(), self.settings.omitted)

    def prepared(self, requests: Sequence[Instance]) -> list[ApiRequest]:
        """Return the API requests for ``requests``, all of them checked.

        Raises:
            ModelError: The model cannot take these exams.
            UsageError: A generation argument is none that API models take.
        """
        # Checks take a tokenizer call: one for each set of generation arguments, with its longest prompt, stands for
        # all its requests. Seeds differ from request to request and change nothing about them.
        made = []
        checked: dict[str, dict[str, Any]] = {}
        longest: dict[str, str] = {}
        for index, request in enumerate(requests):
            prompt, generation = request.args[0], with_budget(request.args[1])
            made.append(ApiRequest(index, prompt, self._parameters(generation), int(generation["max_gen_toks"])))
            name = canonical_json({key: value for key, value in generation.items() if key != "seed"})
            checked.setdefault(name, dict(generation))
            longest[name] = max(longest.get(name, ""), prompt, key=len)
        for name, generation in checked.items():
            mapped = check_parameters(self.gateway, self.settings, self._parameters(generation))
            prompt = longest[name]
            tokens = self.gateway.prompt_tokens(prompt)
            if reason := why_not_applicable(self.gateway.facts, mapped, int(generation["max_gen_toks"]), tokens):
                raise ModelError(f"{self.settings.model} cannot take this exam: {reason}; nothing was sent")
            parameters = self._parameters(generation)
            (body,) = self.gateway.rehearse([(prompt, parameters)])
            if body is None:
                _notify("litellm cannot show a request before it is sent: it is not compared with the exam first")
            else:
                texts = [message["content"] for message in messages_of(prompt)] if self.is_chat else [prompt]
                check_body(self.settings, texts, int(generation["max_gen_toks"]), body, parameters)
        return made

    def estimate(self, requests: Sequence[ApiRequest]) -> Estimate:
        """Return an estimate of the cost of ``requests``."""
        counted = ((self.gateway.prompt_tokens(request.prompt), request.budget) for request in requests)
        return estimate(counted, self.price)

    def preview(self, requests: Sequence[Instance]) -> str:
        """Print what would be sent, one JSON object per line, and return the estimated cost."""
        prepared = self.prepared(requests)
        for body in self.gateway.bodies(prepared):
            sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
        return self.estimate(prepared).line()

    # ------------------------------------------------------------------------------------------------ asking
    def ask_each(
        self, requests: Sequence[Instance], keys: Sequence[RequestKey], on_outcomes: OnOutcomes, journal: Journal
    ) -> None:
        """Send ``requests``; each outcome goes to ``on_outcomes``, which records it, before anything else.

        Args:
            requests: The requests.
            keys: Their keys in the journal.
            on_outcomes: Records outcomes.
            journal: The journal of the run, which knows the cost of earlier starts.

        Raises:
            ModelError: The model cannot take these exams, the limit of money is reached, or no request can succeed.
            EndedEarlyError: A batch was submitted, and the run does not wait for it.
            KeyboardInterrupt: Ctrl-C.
        """
        prepared = self.prepared(requests)
        if not prepared:
            return
        self.check_server()
        self._note_unknown_server()
        names = [request_name(key) for key in keys]
        self._refuse_open_batches(names, journal)
        # The limit is on all starts of the run together, including attempts that may have been billed without a reply.
        purse = Purse(self.settings.max_usd, paid(journal) + maybe_paid(journal))
        spent = f"; {usd_text(purse.spent)} spent before" if purse.spent else ""
        limit = f"; limit {usd_text(self.settings.max_usd)}" if self.settings.max_usd is not None else ""
        _notify(f"{self.estimate(prepared).line()}{spent}{limit}")
        if self.settings.provider_batch:
            ending, reason = self._ask_in_batches(prepared, names, on_outcomes, journal, purse)
        else:
            client = ApiClient(
                self.gateway,
                self.settings,
                price=self.price,
                purse=purse,
                known={
                    str(entry.extra["provider_id"]): entry.response
                    for entry in journal.entries.values()
                    if entry.response is not None and entry.extra.get("provider_id")
                },
                on_event=_notify,
            )
            try:
                ending, reason = client.ask(prepared, on_outcomes), client.reason
            except KeyboardInterrupt as error:
                if client.ending is Ending.TERMINATED:  # pressed twice
                    raise TerminatedError from error
                raise
        self._raise_unless_done(ending, reason, journal)

    def _note_unknown_server(self) -> None:
        if self.gateway.own_server and not self.settings.server and not neutral_parameters(self.gateway.make()):
            _notify(
                f"the server at {self.gateway.own_server} does not say that it is vLLM, SGLang or llama.cpp: if it has "
                "default sampling parameters, those apply; server=transformers in --model_args says that it is "
                "transformers serve (docs/engines.md, Decoding)"
            )

    def _ask_in_batches(
        self,
        prepared: Sequence[ApiRequest],
        names: Sequence[str],
        on_outcomes: OnOutcomes,
        journal: Journal,
        purse: Purse,
    ) -> tuple[Ending, str]:
        from roi_bench.api.batches import BatchService, ProviderBatches
        from roi_bench.harness.run_record import run_digest

        batches = ProviderBatches(
            BatchService(self.gateway),
            BatchRecord(record_path(journal.path)),
            self.settings,
            bodies=self.gateway.bodies,
            prompt_tokens=self.gateway.prompt_tokens,
            price=self.price,
            purse=purse,
            run=run_digest(journal.header),
            on_event=_notify,
        )
        recorded = {request_name(key) for key, entry in journal.entries.items() if entry.response is not None}
        return batches.ask(prepared, names, on_outcomes, recorded), batches.reason

    def _refuse_open_batches(self, names: Sequence[str], journal: Journal) -> None:
        """Refuse to send, and pay for again, requests that an open batch is going to answer."""
        if self.settings.provider_batch:
            return
        for batch in open_batches(journal.path):
            if set(names) & set(batch.requests):
                raise ModelError(
                    f"batch {batch.batch_id or '(just submitted)'} was submitted for these requests, and its results "
                    "are not fetched; add --provider-batch to fetch them"
                )

    def _raise_unless_done(self, ending: Ending, reason: str, journal: Journal) -> None:
        if ending is Ending.DONE:
            return
        if ending is Ending.INTERRUPTED:
            raise KeyboardInterrupt
        if ending is Ending.TERMINATED:
            raise TerminatedError
        have = sum(entry.response is not None for entry in journal.entries.values())
        kept = f"finished responses are in {journal.path} ({have} so far)"
        if ending is Ending.SUBMITTED:
            raise EndedEarlyError(f"submitted: {reason}; run the same command again to fetch the results; {kept}")
        if ending is Ending.MONEY:
            raise ModelError(
                f"stopped at the limit of {usd_text(self.settings.max_usd or 0.0)} ({reason}); {kept}; run the same "
                "command with a higher limit to go on from there"
            )
        if ending is Ending.WORTHLESS:
            raise ModelError(
                f"{self.settings.model}: {reason}; {kept} and stay part of this run: fix the cause and begin in "
                "another --output_path; the same command again goes on in spite of it"
            )
        raise ModelError(f"{self.settings.model}: {reason}; {kept}; fix the cause and run the same command again")

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        """Return the responses under plain lm_eval, recorded in this model's own journal.

        Raises:
            UsageError: A chat endpoint is given raw text.
            ModelError: The server is not up, or responses are missing; the others are in the journal.
        """
        from roi_bench.harness.engines.api import ApiEngine
        from roi_bench.harness.journaled_model import JournaledModel

        if not self.settings.wait:
            raise UsageError("wait=False is for roi-bench run, which can end before there are results")
        if self.is_chat and not all(is_conversation(str(request.args[0])) for request in requests):
            raise UsageError(
                "a chat endpoint takes messages: add --apply_chat_template; for a model that takes raw text add "
                "endpoint=completions to --model_args"
            )
        path, header = self._own_journal()
        if not path.exists():
            self.check_server()
        with Journal(path, header, slim=True) as journal:
            engine = ApiEngine(self, seed=self.settings.seed)
            model = JournaledModel(engine, journal, show_progress=not disable_tqdm)
            responses = model.generate_until(requests)
            if missing := sum(response is None for response in responses):
                reasons = {str(entry.extra["error"]) for entry in journal.entries.values() if "error" in entry.extra}
                raise ModelError(
                    f"missing responses: {missing} of {len(responses)} ({'; '.join(sorted(reasons)[:3])}); the others "
                    f"are in {journal.path}; run the same command again: it asks only for the missing ones"
                )
        return responses

    def _own_journal(self) -> tuple[Path, Header]:
        from roi_bench.harness.engines.api import ApiEngine
        from roi_bench.harness.run_arguments import DEFAULT_OUTPUT
        from roi_bench.harness.run_record import journals_of_other_versions, output_folder, run_digest, run_header

        header = run_header("roi-api", {}, ApiEngine(self), self.settings.seed, {})
        folder = output_folder(self.settings.journal or DEFAULT_OUTPUT, self.settings.model)
        for line in journals_of_other_versions(folder):
            _notify(line)
        return folder / f"journal-{run_digest(header)}.rank0.jsonl", header

    # ------------------------------------------------------------------------------------------------ chat
    @property
    def is_chat(self) -> bool:
        """Whether the endpoint takes chat messages rather than raw text."""
        return self.settings.endpoint == "chat"

    @property
    def tokenizer_name(self) -> str:
        """A name in place of a chat template's: conversations are sent as they are."""
        return "roi-api"

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return no template: conversations are sent as they are."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the conversation encoded as text (see :func:`roi_bench.api.settings.chat_prompt`).

        Raises:
            UsageError: The endpoint takes raw text.
        """
        if not self.is_chat:
            raise UsageError(
                "endpoint=completions takes raw text; leave --apply_chat_template out, or endpoint=completions"
            )
        return chat_prompt(chat_history)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """APIs give texts only.

        Raises:
            ModelError: Always.
        """
        raise ModelError("roi-api has texts only; tasks that need likelihoods cannot be run on it")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """APIs give texts only.

        Raises:
            ModelError: Always.
        """
        raise ModelError("roi-api has texts only; tasks that need likelihoods cannot be run on it")


def _notify(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"roi-api: {line}", file=sys.stderr)
