"""The exception and the warning that users are meant to read."""


class A2VError(Exception):
    """What went wrong, with the value that came and the remedy, in one sentence.

    The command line prints it without a traceback; library code raises it wherever a user,
    rather than a developer, can mend the cause.
    """


class A2VWarning(UserWarning):
    """What is not as it should be although the work goes on, in one sentence a user can act on."""
