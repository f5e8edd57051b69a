"""Every label of the protocol: one constant for each use, so that no blob and no signature serves two."""

from typing import Final

# signatures (Ed25519 over lp(label, *parts))
COMMAND: Final = b"privity/v1/command"
QUERY: Final = b"privity/v1/query"
LOGIN: Final = b"privity/v1/login"
CLOSE: Final = b"privity/v1/close"
GENESIS: Final = b"privity/v1/identity/genesis"
IDENTITY_BY_PREVIOUS: Final = b"privity/v1/identity/by-previous"
IDENTITY_BY_RECOVERY: Final = b"privity/v1/identity/by-recovery"
IDENTITY_BY_NEW: Final = b"privity/v1/identity/by-new"
CONNECTION_KEY: Final = b"privity/v1/conn-key"
SHARE_MANIFEST: Final = b"privity/v1/share/manifest"
ENROL_DEVICE: Final = b"privity/v1/enrol/device"
ENROL_LOGIN: Final = b"privity/v1/enrol/login"
EXPORT: Final = b"privity/v1/export"

# hashes (SHA-256 of lp(label, ...), the safety number SHA-512)
HOME: Final = b"privity/v1/home"
ACCOUNT: Final = b"privity/v1/account"
CONNECTION: Final = b"privity/v1/connection"
SAFETY_NUMBER: Final = b"privity/v1/safety-number"
LOG_ENTRY: Final = b"privity/v1/log/entry"
FEED_LINK: Final = b"privity/v1/feed/link"
LINE: Final = b"privity/v1/line"
READ: Final = b"privity/v1/read"

# key derivation (HKDF info, or the first part of it)
AEAD_KEY: Final = b"privity/v1/aead/key"
AEAD_COMMITMENT: Final = b"privity/v1/aead/commitment"
UNLOCK_SALT: Final = b"privity/v1/unlock/salt"
UNLOCK_WRAP: Final = b"privity/v1/unlock/wrap"
UNLOCK_LOGIN: Final = b"privity/v1/unlock/login"
BUS_NKEY: Final = b"privity/v1/bus/nkey"
RECOVERY_WRAP: Final = b"privity/v1/recovery/wrap"
RECOVERY_LOGIN: Final = b"privity/v1/recovery/login"
RECOVERY_SIGN: Final = b"privity/v1/recovery/sign"
WITNESS_SIGN: Final = b"privity/v1/witness/sign"
INVITE_TOKEN: Final = b"privity/v1/invite/token"
INVITE_INVITER: Final = b"privity/v1/invite/inviter"
INVITE_ACCEPTOR: Final = b"privity/v1/invite/acceptor"
INVITE_CONFIRM: Final = b"privity/v1/invite/confirm"

# sealed payloads (AEAD associated data, HPKE info, OAEP label, cobblestone context)
KEY_WRAP: Final = b"privity/v1/key-wrap"
ITEM_CONTENT: Final = b"privity/v1/item/content"
NOTE: Final = b"privity/v1/note"
SHARE_CONTENT: Final = b"privity/v1/share/content"
SHARE_TO_RECIPIENT: Final = b"privity/v1/share/to-recipient"
ENROL_ANSWER: Final = b"privity/v1/enrol/answer"
FILE_SEGMENT: Final = b"privity/v1/file/segment"

# purposes of a wrapped key (the first part of its context)
PURPOSE_KEK: Final = b"privity/v1/purpose/kek"
PURPOSE_KEK_RECOVERY: Final = b"privity/v1/purpose/kek-recovery"
PURPOSE_IDENTITY: Final = b"privity/v1/purpose/identity"
PURPOSE_DEVICE: Final = b"privity/v1/purpose/device"
PURPOSE_CONNECTION_KEY: Final = b"privity/v1/purpose/connection-key"
PURPOSE_INVITATION_SECRET: Final = b"privity/v1/purpose/invitation-secret"
PURPOSE_ITEM: Final = b"privity/v1/purpose/item"
PURPOSE_SHARE_OWNER: Final = b"privity/v1/purpose/share-owner"
PURPOSE_SHARE_RECIPIENT: Final = b"privity/v1/purpose/share-recipient"
