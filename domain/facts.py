"""What a decision may know besides the command and its states: who asks, and when."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """The account and device whose signature was verified, and the backend's own time of receipt."""

    account: str
    device: str
    at: datetime
