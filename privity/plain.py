"""Lines for a terminal or a log in which what others wrote cannot do more than be read."""

import logging

from privity.encoding import printable


class PlainFormatter(logging.Formatter):
    """One line a message, and the lines of a traceback, without codes for the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """A message is one line, so that none can pretend to be two."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The message, and the traceback behind it."""
        return "\n".join(map(printable, super().format(record).split("\n")))
