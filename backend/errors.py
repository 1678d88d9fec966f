"""The one exception that carries a sentence for the person."""


class UserError(Exception):
    """Something the person can understand and act on.

    Args:
        code: short stable name for programs, for example ``no_depth``.
        sentence: one sentence that says what is wrong and what to do. It may quote a file; what cannot be printed
            becomes a blank.
        detail: more for the log, never shown by itself.
    """

    def __init__(self, code: str, sentence: str, detail: str = ""):
        self.sentence = "".join(letter if letter.isprintable() else " " for letter in sentence)
        super().__init__(self.sentence)
        self.code = code
        self.detail = detail


class Cancelled(Exception):
    """Raised inside long work when the person pressed Cancel."""
