"""A backend that runs already: all that tests know of it is how it is reached."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Server:
    """The connection string of a backend; it is a secret."""

    url: str = field(repr=False)
