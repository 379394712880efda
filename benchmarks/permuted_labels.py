"""With labels that mean nothing every method must score 0.5: whatever it scores beyond that is a leak.

Labels are permuted between clusters, in training, validation and test alike; each permutation is also another split
seed. Every contender of the study plays, its configurations taken in turn; dictionaries never see labels and are
trained once. What is printed: the mean over permutations of the AUROC, on validation and over all test sets.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from fairfight.contests.detect import play
from fairfight.contests.examples import permute_labels
from fairfight.contests.split import split
from fairfight.models.load import load
from fairfight.seeds import stream
from fairfight.study import study_from
from fairfight.trials import plan
from fairfight.trials.context import Context, jobs
from fairfight.trials.prepare import collect, prepare, set_up

SITES = ["resid_post.2"]
STUDY = {
    "name": "permuted",
    "task": {
        "name": "harmful_intent",
        "settings": {"share": 0.4, "families_a_prompt": 4, "variants_a_test_prompt": 1, "corpus_texts": 400},
    },
    "activations": {"sites": SITES, "poolings": ["mean", "max_min"], "max_tokens": 96},
    "dictionaries": {
        "topk": {"kind": "topk", "role": "contestant", "recipe": {"latents": 512, "k": 16, "steps": 150}},
        "kmeans": {"kind": "kmeans", "role": "rival", "recipe": {"latents": 256}},
        "pca": {"kind": "pca", "role": "control"},
    },
    "methods": {"lora_classifier": {"max_tokens_a_fit": 6000, "epochs": 1}},
}
TOLERANCE = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--permutations", type=int, default=20)
    parser.add_argument("--methods", nargs="*", help="only these")
    asked = parser.parse_args()

    study = study_from(STUDY)
    collection, corpus = collect(study)
    context = Context(set_up(study, load(), collection, corpus, None))
    for job in jobs(study, range(1), dict.fromkeys(study.dictionaries, tuple(SITES))):
        prepare(context, job)
    field = [c for c in plan.contenders(study) if not asked.methods or c.method in asked.methods]
    configurations = plan.configurations(study, plan.contenders(study))

    scores: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in field}
    for number in range(asked.permutations):
        permuted = permute_labels(collection, stream("permuted labels", number))
        parts = split(permuted, number, validation_share=0.34, left_out_families=2)
        for contender in field:
            own = configurations[contender.name]
            method = plan.make(contender.method, own[number % len(own)])
            subject = context.subject(contender.dictionary, 0, 0)
            chance = stream("permuted fit", contender.name, number)
            scored = play(method, parts, subject, chance, is_sealed=False).scored
            scores[contender.name].append((scored.validation_auroc, float(np.mean(list(scored.test_auroc.values())))))
        sys.stderr.write(f"permutation {number + 1} of {asked.permutations}\n")

    worst = 0.0
    print(
        f"| contender | validation | test sets | standard error of the test mean |  ({asked.permutations} permutations)"
    )
    print("| --- | --- | --- | --- |")
    for name, rows in scores.items():
        values = np.array(rows)
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        worst = max(worst, abs(mean[1] - 0.5))
        print(f"| {name} | {mean[0]:.3f} | {mean[1]:.3f} | {error[1]:.3f} |")
    print(f"\nLargest distance from 0.5 on the test sets: {worst:.3f} (allowed: {TOLERANCE}).")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
