"""Every error a user can meet: what was found, what was expected, what to do.

FairfightError
├── InputError                  the input is wrong (exit code 2)
│   ├── StudyError              a study file says something that cannot be
│   ├── PluginError             a task, method or kind is unknown or breaks its contract
│   ├── ModelError              a model cannot be loaded as asked
│   │   ├── SiteError           the model has no such site
│   │   └── UnsafeFileError     a pickle, or weights whose checksum differs
│   ├── DictionaryError         a dictionary that was given is damaged, or holds or gives NaN
│   ├── WidthMismatchError      activations and dictionary disagree about d_model
│   ├── DataError               labelled texts that no fair contest can use
│   │   ├── LabelError          a label that is not 0 or 1
│   │   ├── EmptyClassError     a set without positives or without negatives
│   │   └── LeakError           a text or a cluster on both sides of a split
│   ├── TableError              a table of scores that cannot be read or compared
│   └── EmptyBatchError         a statistic of nothing
├── DamagedFileError            a file that is not what its checksum says
├── NonFiniteError              NaN or infinity where a number must be
├── NotConvergedError           a solver stopped before its tolerance
├── WorkerDiedError             a process ended in the middle of its work
└── DiskFullError               nothing more can be written; what stands is whole
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


class FairfightError(Exception):
    """Anything that fairfight raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(FairfightError):
    """The input is wrong; nothing was run."""

    exit_code = 2


class StudyError(InputError):
    """A study file holds an unknown key or an impossible value."""


class PluginError(InputError):
    """A task, method or dictionary kind is unknown or breaks its contract."""


class ModelError(InputError):
    """A model cannot be loaded as it was asked for."""


class SiteError(ModelError):
    """The model has no such site."""


class UnsafeFileError(ModelError):
    """A file that would have to be unpickled, or weights whose checksum differs."""


class DictionaryError(InputError):
    """A dictionary that the user gave is damaged, or holds or gives numbers that are not finite."""


class WidthMismatchError(InputError):
    """Activations and dictionary disagree about `d_model`."""


class DataError(InputError):
    """Labelled texts that no fair contest can use."""


class LabelError(DataError):
    """A label that is neither 0 nor 1."""


class EmptyClassError(DataError):
    """A set without positives or without negatives: AUROC is undefined there."""


class LeakError(DataError):
    """A text or a cluster stands on both sides of a split."""


class TableError(InputError):
    """A table of scores lacks what a comparison needs, or holds what no score can be."""


class EmptyBatchError(InputError):
    """A statistic of nothing was asked for; it is not reported as 0."""


class DamagedFileError(FairfightError):
    """A file is not what its checksum says."""


class NonFiniteError(FairfightError):
    """NaN or infinity where a number must be."""


class NotConvergedError(FairfightError):
    """A solver stopped before it reached its tolerance."""


class WorkerDiedError(FairfightError):
    """A process ended in the middle of its work; what was finished before is whole."""


class DiskFullError(FairfightError):
    """Nothing more can be written; what was finished before is whole."""


def has_no_room(error: OSError) -> bool:
    """Say whether a write failed for want of room: a full disk, a spent quota, or a limit on a file's size."""
    return error.errno in _NO_ROOM


def refuse_place(file: Path, error: OSError) -> None:
    """Raise InputError where a write failed because `file` stands in a place that takes no files; else do nothing."""
    if error.errno in _NO_PLACE:
        raise InputError(
            f"{file} cannot be written ({error.strerror}); a folder that takes files was expected. Choose another: "
            "`runs_folder` in the study for runs, FAIRFIGHT_CACHE for activations and dictionaries."
        ) from error


def nearest(word: str, known: Iterable[str]) -> str:
    """Give " Did you mean 'x'?" for the known word closest to `word`, or "" when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
