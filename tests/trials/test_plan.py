"""Fairness is arithmetic: the same number of configurations a method, and in all a side."""

from collections import Counter

import pytest

from fairfight.errors import PluginError, StudyError
from fairfight.records import Cost, Scored, Trial
from fairfight.registry import FOLDERS_VARIABLE
from fairfight.study import study_from
from fairfight.trials import plan
from fairfight.trials.tune import select

METHOD = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class {name}:
    """A plan needs no more than this."""
    family: ClassVar[str] = "{family}"
    needs_dictionary: ClassVar[bool] = {needs}
    site: str = "a"
    penalty: float = 1.0
    k: int = 1
    @classmethod
    def space(cls, sites, poolings):
        return {{"site": sites, "penalty": {penalties}, "k": (1, 2)}}
    @property
    def strength(self):
        return self.penalty
    def fit(self, train, views, chance): ...
    def notes(self, detector): ...
'''


def method(folder, name, *, family="probing", needs=False, penalties=(0.1, 1.0, 10.0)):
    text = METHOD.format(name=name.title().replace("_", ""), family=family, needs=needs, penalties=penalties)
    (folder / f"{name}.py").write_text(text)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tmp_path))
    (tmp_path / "methods").mkdir()
    method(tmp_path / "methods", "plan_one")
    method(tmp_path / "methods", "plan_two", family="text-only", penalties=(0.1,))
    method(tmp_path / "methods", "plan_sparse", family="dictionary", needs=True)
    method(tmp_path / "methods", "plan_dense", family="dictionary", needs=True)
    dictionaries = {
        "topk": {"kind": "topk", "role": "contestant"},
        "kmeans": {"kind": "kmeans", "role": "rival"},
        "neurons": {"kind": "neurons", "role": "control"},
    }

    def make(**changes):
        trials = {
            "methods": ["plan_one", "plan_two", "plan_sparse", "plan_dense"],
            "configurations": 6,
            "seeds": 2,
            "dictionary_seeds": 3,
            "curve_k": [1, 2],
        }
        raw = {
            "name": "s",
            "task": {"name": "t"},
            "activations": {"sites": ["a", "b"]},
            "dictionaries": dictionaries,
            "trials": trials,
        }
        return study_from({**raw, **changes})

    return make


def test_every_dictionary_method_meets_every_dictionary_controls_too(study):
    names = {contender.name: contender.side for contender in plan.contenders(study())}
    assert names == {
        "plan_one": "baseline", "plan_two": "baseline",
        "plan_sparse[topk]": "dictionary", "plan_sparse[kmeans]": "rival", "plan_sparse[neurons]": "control",
        "plan_dense[topk]": "dictionary", "plan_dense[kmeans]": "rival", "plan_dense[neurons]": "control",
    }  # fmt: skip


@pytest.mark.parametrize("methods", [{}, {"plan_one": {"configurations": 2}}, {"plan_one": {"configurations": 12}}])
def test_both_sides_get_the_same_total(study, methods):
    made = study(methods=methods)
    field = plan.contenders(made)
    configs = plan.configurations(made, field)
    totals = Counter()
    for contender in field:
        totals[contender.side] += len(configs[contender.name])
    assert totals["dictionary"] == totals["baseline"]


def test_configurations_are_distinct_even_and_the_same_on_every_dictionary(study):
    made = study()
    configs = plan.configurations(made, plan.contenders(made))
    assert configs["plan_dense[topk]"] == configs["plan_dense[kmeans]"]
    for settings in configs.values():
        assert len({repr(s) for s in settings}) == len(settings)
        assert max(Counter(s["site"] for s in settings).values()) <= len(settings) / 2 + 1


def test_contenders_take_the_first_configurations_of_one_order(study):
    few, many = ({"plan_dense": {"configurations": count}} for count in (3, 5))
    few, many = (plan.configurations(study(methods=m), plan.contenders(study(methods=m))) for m in (few, many))
    assert many["plan_dense[topk]"][:3] == few["plan_dense[topk]"][:3]
    shorter, longer = sorted((few["plan_sparse[topk]"], few["plan_sparse[kmeans]"]), key=len)
    assert longer[: len(shorter)] == shorter


def test_every_configuration_comes_up_once_and_a_value_given_twice_counts_once(study):
    fixed = {"plan_one": {"configurations": 99, "penalty": [1.0, 2.0, 1.0]}}
    configs = plan.configurations(study(methods=fixed), plan.contenders(study(methods=fixed)))["plan_one"]
    assert len({repr(settings) for settings in configs}) == len(configs) == 2 * 2 * 2


def test_other_values_of_one_setting_move_no_other(study):
    narrow, wide = (
        plan.configurations(made, plan.contenders(made))["plan_one"]
        for made in (study(), study(methods={"plan_one": {"penalty": [3.0, 4.0, 5.0]}}))
    )
    assert [(s["site"], s["k"]) for s in narrow] == [(s["site"], s["k"]) for s in wide]


def test_a_space_that_nobody_could_put_in_order_is_refused(study):
    made = study(methods={"plan_one": {"penalty": [float(value) for value in range(1, 50_001)]}})
    with pytest.raises(StudyError, match="offers 200,000 configurations, but at most 100,000"):
        plan.configurations(made, plan.contenders(made))


def test_sides_that_cannot_meet_are_refused(study):
    one_each = {"methods": ["plan_one", "plan_two", "plan_dense"], "configurations": 1}
    stuck = study(trials=one_each, methods={"plan_dense": {"configurations": 1}})
    with pytest.raises(StudyError, match="dictionary side has no more than 1, and the 2 contenders of the baseline"):
        plan.configurations(stuck, plan.contenders(stuck))
    free = study(trials=one_each)
    counts = {name: len(tried) for name, tried in plan.configurations(free, plan.contenders(free)).items()}
    assert counts == {
        "plan_one": 1, "plan_two": 1, "plan_dense[topk]": 2, "plan_dense[kmeans]": 1, "plan_dense[neurons]": 1
    }  # fmt: skip


def test_a_method_without_a_part_of_its_contract_is_refused(study, tmp_path):
    file = tmp_path / "methods" / "plan_dense.py"
    file.write_text(file.read_text().replace("def notes", "def note"))
    with pytest.raises(PluginError, match="The method 'plan_dense' lacks notes"):
        plan.contenders(study())


def test_the_study_may_fix_or_widen_a_setting(study):
    space = plan.space_of(study(methods={"plan_one": {"penalty": 5.0, "k": [1, 2, 3]}}), "plan_one")
    assert space["penalty"] == (5.0,)
    assert space["k"] == (1, 2, 3)


def test_an_unknown_setting_or_method_gets_the_nearest_name(study):
    with pytest.raises(StudyError, match=r"\[methods.plan_one\] has no key 'penalti'.*Did you mean 'penalty'"):
        plan.space_of(study(methods={"plan_one": {"penalti": 1}}), "plan_one")
    with pytest.raises(PluginError, match=r"Did you mean 'plan_one'"):
        plan.contenders(study(methods={"plan_onne": {}}))


def test_tuning_uses_seed_zero_and_scoring_every_other_seed(study):
    made = study()
    field = plan.contenders(made)
    selected = {contender.name: {"site": "a", "k": 1} for contender in field}
    assert {spec.seed for spec in plan.tune_specs(made, "", plan.configurations(made, field), field)} == {0}
    scored = plan.score_specs(made, "", selected, field)
    assert {spec.seed for spec in scored} == {1, 2}
    seeds = {(s.seed, s.dictionary_seed) for s in scored if s.contender.name == "plan_dense[topk]"}
    assert len(seeds) == 2 * 3
    assert {s.dictionary_seed for s in scored if s.contender.name == "plan_sparse[neurons]"} == {0}
    assert len({spec.key for spec in scored}) == len(scored)


def test_ties_on_validation_go_to_the_stronger_regularisation(study):
    made = study()
    contender = plan.contenders(made)[0]
    trials = [
        Trial(
            plan.TrialSpec("", "", contender, "tune", 0, None, {"penalty": penalty}), Scored(1.0, auroc, {}, {}), Cost()
        )
        for penalty, auroc in ((0.1, 1.0), (10.0, 1.0), (1.0, 1.0), (100.0, 0.9))
    ]
    assert select(trials) == {contender.name: {"penalty": 10.0}}


@pytest.mark.parametrize("inputs", ["one scoring version", "another"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_full_ties_go_to_the_settings_and_not_to_a_hash_that_a_version_moves(study, order, inputs):
    contender = plan.contenders(study())[0]
    trials = [
        Trial(
            plan.TrialSpec("", inputs, contender, "tune", 0, None, {"penalty": 1.0, "k": k}),
            Scored(1.0, 0.7, {}, {}),
            Cost(),
        )
        for k in order
    ]
    assert select(trials) == {contender.name: {"penalty": 1.0, "k": 2}}


def test_a_field_without_fine_tuning_is_said_to_lack_it(study):
    assert plan.missing_families(plan.contenders(study())) == ["finetuning", "floor"]


def test_a_dictionary_of_some_sites_is_played_there_alone(study):
    dictionaries = {
        "part": {"kind": "topk", "role": "contestant", "sites": ["b"]},
        "whole": {"kind": "topk", "role": "contestant"},
    }
    own = study(dictionaries=dictionaries)
    by_name = {contender.name: contender for contender in plan.contenders(own)}
    assert plan.space_for(own, by_name["plan_sparse[part]"])["site"] == ("b",)
    assert plan.space_for(own, by_name["plan_sparse[whole]"])["site"] == ("a", "b")
    tried = plan.configurations(own, list(by_name.values()))
    assert {settings["site"] for settings in tried["plan_sparse[part]"]} == {"b"}


def test_a_dictionary_at_a_site_that_is_not_read_is_refused(study):
    with pytest.raises(StudyError, match=r"dictionaries.one stands at c, but the study reads only a, b"):
        study(dictionaries={"one": {"kind": "topk", "role": "control", "sites": ["c"]}})
    with pytest.raises(StudyError, match=r"dictionaries.one is a variant of 'two'; others are none"):
        study(dictionaries={"one": {"kind": "topk", "role": "control", "variant_of": "two"}})
