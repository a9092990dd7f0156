"""How long work on the data tells a command what it is at."""


class Reporter:
    """Hears of the extraction of features, and keeps it to itself; a command shows it."""

    def say(self, message: str) -> None:
        """Something that a user should know now."""

    def started(self, what: str, total: int, done: int) -> None:
        """Work on ``total`` images has begun, of which ``done`` were finished before.

        Args:
            what: What is computed, for people.
            total: Images in all.
            done: Images that need nothing more.
        """

    def advanced(self, num: int) -> None:
        """``num`` more images are done."""

    def ended(self) -> None:
        """The work that was started has come to its end."""
