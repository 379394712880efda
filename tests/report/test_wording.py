"""A dictionary is called necessary only where a random one was played and beaten."""

import pytest

from fairfight.division import Division
from fairfight.report.wording import division, necessity, notes
from fairfight.study import Question
from fairfight.verdict.decide import judge

QUESTION = Question(name="main", replicates=200)


@pytest.fixture
def needed(planted, tmp_path):
    """Give what is said of a dictionary whose method has these skills on other dictionaries."""

    def say(**others):
        sides = {"kmeans": "rival"}
        skills = [
            planted.skill("probe[sae]", "dictionary", 3.0, 3.0),
            planted.skill("probe", "baseline", 1.0, 1.0),
            *(planted.skill(f"probe[{name}]", sides.get(name, "control"), own, own) for name, own in others.items()),
        ]
        return judge(planted.build(tmp_path, planted.World(skills=skills)), QUESTION)

    return say


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ({}, ""),
        (
            {"random": 0.1},
            "By the controls that were played, yes: probe[sae] beats probe[random] on the mean over test sets.",
        ),
        (
            {"random": 0.1, "pca": 0.2},
            "By the controls that were played, yes: probe[sae] beats probe[pca], probe[random] on the mean over test sets.",
        ),
        (
            {"random": 3.0, "pca": 0.2},
            "Not shown: probe[sae] does not beat probe[random] on the mean over test sets. It does beat probe[pca].",
        ),
        ({"pca": 0.2}, "Not shown: the method was not played on random directions. It beats probe[pca]."),
        (
            {"random": 0.1, "kmeans": 3.0},
            "By the controls that were played, yes: probe[sae] beats probe[random] on the mean over test sets. "
            "Rivals not beaten under the same method: probe[kmeans].",
        ),
        (
            {"kmeans": 0.1},
            "Not shown: the method was not played on random directions. "
            "Rivals beaten under the same method: probe[kmeans].",
        ),
    ],
)
def test_a_dictionary_is_needed_where_random_directions_are_beaten(needed, others, sentence):
    assert necessity(needed(**others)) == sentence


def test_notes_hold_ties_gaps_controls_and_warnings(planted, tmp_path):
    verdict = judge(planted.build(tmp_path), QUESTION)
    found = "\n".join(notes(verdict))
    assert "Reconstruction gap (AUROC, mean over test sets): reconstruction_probe[sae] minus logistic_probe" in found
    assert "Is the dictionary necessary? By the controls that were played, yes" in found
    assert all(warning in found for warning in verdict.warnings)
    assert "Reconstruction gap" not in "\n".join(notes(verdict, shows_gaps=False))


CLOSED = Division("closed", "was registered before its first trial", (), "2026-07-01", "2026-07-02", 1, 2)
CHANGES = tuple(f"a.{number} was 1 when registered, is 2" for number in range(8))


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (
            CLOSED,
            "Closed: it was registered before its first trial (2026-07-01). Earlier on the same task and model: 1 run and "
            "2 registrations of other studies.",
        ),
        (
            Division("open", "was never registered", (), None, None, 0, 0),
            "Open (exploratory): it was never registered. Earlier on the same task and model: nothing that is known.",
        ),
        (
            Division("open", "was registered otherwise", CHANGES, "2026-07-01", "2026-07-02", 0, 1),
            f"Open (exploratory): it was registered otherwise (2026-07-01): {'; '.join(CHANGES[:6])}; and 2 more. Earlier "
            "on the same task and model: 1 registration of another study.",
        ),
    ],
)
def test_the_division_is_said_with_its_reason_and_the_attempts_before(own, sentence):
    assert division(own) == sentence
