"""A stranger's task: does a sentence speak of the sea?"""

from dataclasses import dataclass
from typing import ClassVar

from fairfight.contests.examples import DEVELOPMENT, Collection, Example

WET = ("ship", "harbour", "whale", "lighthouse", "anchor", "reef", "tide", "sailor")
DRY = ("tractor", "meadow", "cow", "windmill", "plough", "hedge", "harvest", "farmer")
FRAMES = (
    "The {} was seen in the morning.",
    "Nobody spoke of the {} again.",
    "They painted the {} in oil.",
    "Which {} do you mean?",
)


@dataclass(frozen=True)
class ToyTask:
    """Sentences about the sea against sentences about the land."""

    contest: ClassVar[str] = "detect"

    def collection(self):
        """Give half of the words to development and half to the test set."""
        examples = [
            Example(f"{word}-{number}", frame.format(word), label, word, "test" if place % 2 else DEVELOPMENT)
            for label, words in ((1, WET), (0, DRY))
            for place, word in enumerate(words)
            for number, frame in enumerate(FRAMES)
        ]
        return Collection(tuple(examples), ("test",))

    def unlabelled(self):
        """Give nothing further."""
        return ()
