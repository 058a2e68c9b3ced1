"""One error tree. Every error says what happened, why, and how to mend it, and has a stable code.

The command line prints `str(error)` and exits with `error.exit_code`: 2 for wrong use (a bad file, key, value or
shape), 1 where the answer to a well-put question is no (it does not fit, it does not match).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "CheckpointError",
    "CodeNotAllowedError",
    "ConversionError",
    "DataError",
    "DescriptorError",
    "FindingsError",
    "GraphError",
    "InternalError",
    "MissingPackageError",
    "NirError",
    "OutOfMemoryError",
    "ParameterError",
    "RecipeError",
    "ReplayFormatError",
    "ResumeError",
    "ShapeError",
    "SnnkitError",
    "StateError",
    "SystemCallError",
    "UsageError",
    "did_you_mean",
]


class SnnkitError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what is wrong, naming the file, layer, neuron or limit, and the value.
        why: the reason, where it is not plain from `what`.
        fix: what the user can do.
    """

    code = "SNNKIT"
    exit_code = 2

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(what)

    def __str__(self) -> str:
        text = f"[{self.code}] {self.what}"
        if self.why:
            text += f"\n  why: {self.why}"
        if self.fix:
            text += f"\n  fix: {self.fix}"
        return text

    def to_dict(self) -> dict[str, str]:
        """The error as plain values, for `--json`."""
        return {"code": self.code, "what": self.what, "why": self.why, "fix": self.fix}


class UsageError(SnnkitError):
    """The command line or a function was called in a way that makes no sense."""

    code = "USAGE"


class DataError(SnnkitError):
    """A recording, archive or data folder is damaged, incomplete or not what it claims to be."""

    code = "DATA"


class RecipeError(SnnkitError):
    """A recipe has an unknown key, a wrong type or an impossible value."""

    code = "RECIPE"


class CodeNotAllowedError(RecipeError):
    """A recipe names a class outside snnkit and the user has not allowed that module."""

    code = "CODE_NOT_ALLOWED"


class ShapeError(SnnkitError):
    """A tensor's shape does not fit a layer; the message names the layer."""

    code = "SHAPE"


class ParameterError(SnnkitError):
    """A layer or function was given a parameter outside its range."""

    code = "PARAMETER"


class StateError(SnnkitError):
    """A state does not belong to the layer or model it was given to."""

    code = "STATE"


class ConversionError(SnnkitError):
    """A network of another framework holds what has no counterpart here; the message lists every such layer."""

    code = "CONVERT"


class CheckpointError(SnnkitError):
    """A run folder or checkpoint is damaged or cannot be read safely."""

    code = "CHECKPOINT"


class ResumeError(SnnkitError):
    """A run cannot be resumed with these settings; the message shows the difference."""

    code = "RESUME"


class GraphError(SnnkitError):
    """A graph is inconsistent: an unknown name, a wrong shape, a value outside its format."""

    code = "GRAPH"


class DescriptorError(SnnkitError):
    """A descriptor is damaged, unsafe, from the future, or not a descriptor."""

    code = "DESCRIPTOR"


class NirError(SnnkitError):
    """A NIR file is damaged, unsafe, of another version, contradicts itself, or leaves out what is needed."""

    code = "NIR"


class ReplayFormatError(SnnkitError):
    """A reference file is of a format that `replay` does not know."""

    code = "REPLAY_FORMAT"


class MissingPackageError(SnnkitError):
    """An optional package is needed for what was asked."""

    code = "MISSING_PACKAGE"


class OutOfMemoryError(SnnkitError):
    """The machine has too little memory for what was asked."""

    code = "MEMORY"


class SystemCallError(SnnkitError):
    """The operating system refused something: a missing file, a full disk, no permission."""

    code = "OS"


class InternalError(SnnkitError):
    """A fault of snnkit itself."""

    code = "INTERNAL"


class FindingsError(SnnkitError):
    """The network does not fit or would lose meaning: carries every finding at once.

    `findings` are `snnkit.graph.findings.Finding` objects; they are only printed here.
    """

    code = "FINDINGS"
    exit_code = 1

    def __init__(self, what: str, findings: Sequence[object], *, fix: str = "") -> None:
        self.findings = tuple(findings)
        super().__init__(what, fix=fix)

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}"]
        lines += [f"  - {f}" for f in self.findings]
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message: ` (did you mean 'train'?)`, or an empty string."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
