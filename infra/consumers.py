"""A consumer's credential: what a trusted program outside the backend shows to the bus, to follow the events."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from infra.credentials import CONSUMER_LIFE, consumer_jwt
from infra.given import Given, remember
from infra.home import HomeKeys
from privity.credential import USER, Credential, Nkey
from privity.errors import Malformed
from privity.messages.past import CONTEXTS, ConsumerName

KIND: Final = "consumer"

_name: TypeAdapter[str] = TypeAdapter(ConsumerName)


def give(data: Path, keys: HomeKeys, name: str, contexts: Sequence[str]) -> Credential:
    """A credential for 366 days, for a consumer that may see these contexts, none being all; written down as given.

    One that it was given before stays good: both are taken back together.

    Raises:
        Malformed: a consumer cannot be called so, or events have no such context.
        TooLarge: the home has given too many credentials.
    """
    unknown = sorted(set(contexts) - CONTEXTS)
    if unknown:
        raise Malformed(f"events have no context {unknown[0]}; there are {', '.join(sorted(CONTEXTS))}")
    try:
        _name.validate_python(name)
    except ValidationError:
        raise Malformed("a consumer's name has 1 to 32 lower-case letters, digits and '-'") from None
    nkey, until = Nkey.generate(USER), int(time.time()) + CONSUMER_LIFE
    remember(data, Given(KIND, name, name, nkey.public, until))
    return Credential(consumer_jwt(keys.bus, name, sorted(set(contexts)), nkey.public, until), nkey)
