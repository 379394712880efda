"""What a dictionary of each kind is trained on and encodes, from harvest to pooled codes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import issparse

from fairfight.activations.pool import pool
from fairfight.activations.shards import TokenBatch
from fairfight.contests.examples import DEVELOPMENT, Collection, Example
from fairfight.dictionaries.check import Expected, check_loaded
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import load
from fairfight.dictionaries.pooled import open_pooled
from fairfight.errors import InputError
from fairfight.models.load import load as load_model
from fairfight.study import study_from
from fairfight.trials.context import Context, Job, jobs
from fairfight.trials.prepare import forget_tokens, prepare, set_up

SITE = "resid_post.1"
SMALL = {"latents": 16, "k": 2, "steps": 20, "batch": 64}
THINGS = ("kettle", "ladder", "bicycle", "piano", "canoe", "raincoat", "telescope", "garden hose")


def collection() -> Collection:
    """Repairing (1) against buying (0), from an uncle or from nobody in particular."""
    examples = [
        Example(
            id=f"{thing}/{label}/{frame}",
            text=f"{frame}How do I {verb} a {thing}?",
            label=label,
            cluster=f"{thing}/{label}",
            set=DEVELOPMENT if number < 6 else "test",
            tags={"jailbreak": "uncle"} if frame else {},
            group=thing,
        )
        for number, thing in enumerate(THINGS)
        for label, verb in enumerate(("buy", "repair"))
        for frame in ("", "My uncle asks: ")
    ]
    return Collection(tuple(examples), ("test",))


@pytest.fixture
def context(tmp_path, monkeypatch):
    """Open a study with these dictionaries at one site of the embedded model."""
    monkeypatch.setenv("FAIRFIGHT_CACHE", str(tmp_path))
    forget_tokens()

    def opened(found: Collection | None = None, **recipes: dict) -> Context:
        raw = {
            "name": "s",
            "task": {"name": "t"},
            "activations": {"sites": [SITE], "poolings": ["mean"]},
            "dictionaries": {
                kind: {"kind": kind, "role": "control", "recipe": recipe} for kind, recipe in recipes.items()
            },
            "trials": {"seeds": 2, "dictionary_seeds": 3},
        }
        found = found or collection()
        texts = tuple(example.text for example in found.examples if example.set == DEVELOPMENT)
        return Context(set_up(study_from(raw), load_model(), found, texts, None))

    yield opened
    forget_tokens()


def pooled_codes(context: Context, job: Job) -> np.ndarray:
    codes = open_pooled(context.folder(job)).codes("mean", context.example_rows(job.site))
    return codes.toarray() if issparse(codes) else codes


def expected_codes(context: Context, job: Job, values: torch.Tensor, offsets: np.ndarray) -> np.ndarray:
    dictionary = load(context.folder(job)).dictionary
    return pool(TokenBatch(dictionary.encode(values), offsets), "mean")


def test_a_random_models_dictionary_reads_the_random_model_and_others_do_not(context):
    opened = context(topk=SMALL, random_model=SMALL)
    own, control = Job("topk", SITE, 0), Job("random_model", SITE, 0)
    cards = [prepare(opened, job) for job in (own, control)]
    assert [card.model for card in cards] == ["all-MiniLM-L6-v2", "random:all-MiniLM-L6-v2"]
    drawn = load_model("random:all-MiniLM-L6-v2")
    text = opened.setup.collection.examples[0].text
    row = opened.activations[SITE].rows([text])
    ids = drawn.tokenizer([text], return_tensors="pt")
    with torch.inference_mode():
        states = drawn.module(**ids, output_hidden_states=True).hidden_states[2][0, 1:-1]
    bounds = np.array([0, len(states)])
    expected = expected_codes(opened, control, states, bounds)
    np.testing.assert_allclose(pooled_codes(opened, control)[row], expected, rtol=1e-3, atol=1e-4)
    real = opened.activations[SITE].tokens(row)
    np.testing.assert_allclose(pooled_codes(opened, own)[row], expected_codes(opened, own, *real), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(states, real.values, atol=0.1)


def test_a_study_without_a_random_model_keeps_its_keys(context):
    with_it, without = context(topk=SMALL, random_model=SMALL), context(topk=SMALL)
    job = Job("topk", SITE, 0)
    assert with_it.folder(job) == without.folder(job)
    assert not without.setup.random_stores


def test_a_dictionary_of_labels_sees_those_of_its_splits_training_examples_alone(context):
    opened, job = context(supervised={}), Job("supervised", SITE, 1)
    prepare(opened, job)
    seen = {example.id for example in opened.split(1).train}
    flipped = [e if e.id in seen else replace(e, label=1 - e.label, tags={}) for e in collection().examples]
    other = context(Collection(tuple(flipped), ("test",)), supervised={})
    assert {example.id for example in other.split(1).train} == seen
    prepare(other, job)
    folders = [each.folder(job) for each in (opened, other)]
    assert folders[0] != folders[1]
    first, second = (load(folder).dictionary for folder in folders)
    assert first.names == ("jailbreak=none", "jailbreak=uncle", "label=0", "label=1")
    assert torch.equal(first.atoms, second.atoms)
    assert torch.equal(first.mean, second.mean)


def test_a_trial_looks_through_the_dictionary_of_its_own_split(context):
    opened = context(supervised={}, topk=SMALL)
    wanted = jobs(opened.study, range(1), {"supervised": (SITE,)})
    wanted += jobs(opened.study, range(1, 3), {"supervised": (SITE,)})
    assert wanted == [Job("supervised", SITE, seed) for seed in (0, 1, 2)]
    for job in wanted:
        prepare(opened, job)
        assert opened.subject("supervised", 0, job.seed).dictionaries[SITE].folder == opened.folder(job)
    prepare(opened, Job("topk", SITE, 0))
    assert len({opened.subject("topk", 0, seed).dictionaries[SITE].folder for seed in (0, 1, 2)}) == 1


@pytest.mark.parametrize("kind", ["transcoder", "skip_transcoder"])
def test_a_transcoder_predicts_another_site_from_the_one_that_methods_look_at(kind, context):
    opened, job = context(**{kind: SMALL}), Job(kind, SITE, 0)
    card = prepare(opened, job)
    assert card.site == SITE
    rows = opened.corpus_rows(SITE)
    inputs, outputs = (opened.activations[site].tokens(rows) for site in (SITE, "mlp_out.1"))
    dictionary = load(opened.folder(job)).dictionary
    predicted = dictionary.rebuild(inputs.values, dictionary.encode(inputs.values))
    error = (predicted - outputs.values).square().sum() / (outputs.values - outputs.values.mean(dim=0)).square().sum()
    assert card.fvu == pytest.approx(error.item(), rel=1e-4)
    pooled = np.asarray(open_pooled(opened.folder(job)).reconstruction("mean"))[rows]
    np.testing.assert_allclose(pooled, pool(TokenBatch(predicted, inputs.offsets), "mean"), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="is a transcoder"):
        check_loaded(dictionary, TokenSource.from_activations(opened.activations[SITE], rows), Expected())


def test_methods_look_at_the_sites_of_the_study_and_not_at_a_transcoders_output(context):
    opened = context(transcoder=SMALL, random_model=SMALL)
    assert set(opened.activations) == {SITE, "mlp_out.1"}
    for kind in ("transcoder", "random_model"):
        prepare(opened, Job(kind, SITE, 0))
        subject = opened.subject(kind, 0, 1)
        assert set(subject.activations) == set(subject.dictionaries) == {SITE}
