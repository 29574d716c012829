"""Errors that end a command, and the exit code of each kind."""

from __future__ import annotations

DONE, REFUSED, BAD_INPUT, UNREACHABLE = 0, 1, 2, 3


class CommandError(Exception):
    """The end of a command; the message is one sentence for a person."""

    exit_code = REFUSED


class Refused(CommandError):  # noqa: N818 - a refusal is an answer, not a defect
    """The stack refused, or a check failed."""


class BadInput(CommandError):  # noqa: N818 - the word of the exit code
    """A file, a flag or the machine is not as required; nothing was started or changed."""

    exit_code = BAD_INPUT


class Unreachable(CommandError):  # noqa: N818 - the word of the exit code
    """The stack, or a part of it, cannot be reached."""

    exit_code = UNREACHABLE
