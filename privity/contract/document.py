"""The AsyncAPI document: a channel for each subject, with what is sent there, from the view of an app with an account.

`send` is what the app does, `receive` what it hears. What only the backend's own roles exchange is there too, with the
tag `backend`, so that nothing on the bus is left out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from privity.contract.examples import Examples
from privity.contract.schemas import RAW, Schema, Schemas, unwrapped
from privity.encoding import b64
from privity.messages import enrolment, envelope, past, reads, suppliers, views
from privity.messages.base import Command, Event
from privity.messages.catalog import COMMANDS, EVENTS, sealed_fields
from privity.messages.recorded import POSITION_HEADER, PREVIOUS_HEADER, VERSION_HEADER, Meta

Object = dict[str, Any]

VERSION: Final = "1"
"""Of the contract: the `v` of every envelope."""
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
FRAME: Final = "application/vnd.privity.frame"

ABOUT: Final = f"""\
Everything that crosses the bus of a Privity home, as an app sees it that acts for an account: it *sends* commands and
queries, and *receives* results, answers and its feed. A trusted consumer receives events.

**Frames.** A message of the content type `application/vnd.privity.frame` is `PVC1` (4 bytes) and then its parts, each
behind its length in four bytes, big-endian. Its payload is shown here as an object with a field for each part;
`x-privity-frame` lists them in their order, with how each is written: `json` is UTF-8, `bytes` are raw on the bus and
base64url without padding here, and `many` stands for any number of parts.

**Signatures.** A device signs the exact bytes of an envelope, together with the home's id and the subject. Results,
answers, events and the feed are not signed: what to hold them against, and how things are sealed, is in
docs/protocol.md.

**Fields.** Who writes to the home names no other fields than these: unknown ones are refused. Who reads must expect
new fields, new events and new codes in what the home says.

**Bounds.** A signed envelope has at most {envelope.MAX_PAYLOAD // 1024} KiB, a command at most {envelope.MAX_SEALED}
sealed objects, and a whole message at most {envelope.MAX_MESSAGE // 1024:,} KiB.

**Errors.** A refusal has a stable `code` (schema `ErrorCode`, with what each one means) and a sentence for a person.
"""

PARAMETERS: Final[Mapping[str, str]] = {
    "account": "The account that acts: its id, 52 characters of base32.",
    "command": "The id of the command that this is the result of, a UUID.",
    "stream": "The stream that the event belongs to: `<kind>-<id>`.",
    "supplier": "The supplier's id, 52 characters of base32.",
    "request": "What the asking client makes up for each request; it may hold dots.",
    "consumer": "The consumer's name, as the operator gave it.",
    "contexts": "Those that the consumer may see, joined by `+`, in order; or `all`.",
    "context": "The context of the message that was parked, for instance `items`.",
}

RESULT: Final[Object] = {"$ref": "#/channels/result/messages/result"}
"""What answers every command."""

SUPPLIED: Final[Mapping[str, tuple[str, ...]]] = {
    "nonce": ("nonce",),
    "open": ("lease",),
    "leaves": ("leaves", "root", "segments"),
    "prove": ("proof",),
    "list": ("objects",),
    "status": ("called", "fragments", "used", "quota"),
}
"""What a supplier's answer says beside its status, by verb."""

Part = tuple[str, Schema | None]
"""A part of a frame: its name, and its schema where it is JSON; a name with dots behind it is any number of parts."""


def document() -> Object:
    """The whole document; the same each time for the same code."""
    made = _Document()
    for command in COMMANDS.values():
        made.command(command)
    made.result()
    for view in views.ASKS:
        made.query(view)
    made.feed()
    for event in EVENTS.values():
        made.event(event)
    made.past()
    made.enrolment(enrolment.EnrolDevice)
    made.enrolment(enrolment.EnrolLogin)
    for request in suppliers.REQUESTS.values():
        made.supplier(request)
    made.read_record()
    made.revoke()
    made.parked()
    return made.whole()


class _Document:
    def __init__(self) -> None:
        self.schemas = Schemas()
        self.channels: dict[str, Object] = {}
        self.operations: dict[str, Object] = {}
        self.messages: dict[str, Object] = {}
        self._shared()

    def _shared(self) -> None:
        """What many messages rest on, and the channels on which answers arrive."""
        self.schemas.sent(envelope.CommandEnvelope)
        self.schemas.sent(envelope.QueryEnvelope)
        self.schemas.told(envelope.Result)
        self.schemas.told(envelope.Answer)
        self.schemas.told(suppliers.Supplied, sparse=True)
        self.schemas.told(enrolment.Enrolled)
        self.schemas.sent(Meta)
        inbox, arrive = enrolment.INBOX, "Where answers arrive that"
        self.channel("inbox", f"{inbox}{{account}}.{{request}}", f"{arrive} an account asked for.")
        self.channel("inbox.consumer", f"{inbox}{{consumer}}.{{request}}", f"{arrive} a consumer asked for.")
        self.channel("inbox.enrol", f"{enrolment.ENROL_INBOX}.{{request}}", f"{arrive} somebody asked for who enrols.")
        self.channel("inbox.backend", "_INBOX.{request}", f"{arrive} a role of the backend asked for.")

    def whole(self) -> Object:
        """The document, when all has been added."""
        parameters = {name: {"description": text} for name, text in PARAMETERS.items()}
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Privity",
                "version": VERSION,
                "description": ABOUT,
                "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            },
            "defaultContentType": JSON,
            "servers": {"home": _server()},
            "channels": self.channels,
            "operations": self.operations,
            "components": {
                "securitySchemes": {"device": _security()},
                "parameters": parameters,
                "messages": self.messages,
                "schemas": self.schemas.named,
            },
        }

    def channel(self, id: str, address: str, summary: str) -> None:
        """A subject. Messages come to it with `message`."""
        found: Object = {"address": address, "summary": summary, "messages": {}}
        named = re.findall(r"\{(\w+)\}", address)
        if named:
            found["parameters"] = {name: {"$ref": f"#/components/parameters/{name}"} for name in named}
        self.channels[id] = found

    def message(self, channel: str, id: str, about: Object, tag: str, example: Object) -> Object:
        """A message of a channel; a reference to it there."""
        self.messages[id] = {"name": id, **about, "tags": [{"name": tag}], "examples": [example]}
        self.channels[channel]["messages"][id] = {"$ref": f"#/components/messages/{id}"}
        return {"$ref": f"#/channels/{channel}/messages/{id}"}

    def json(self, channel: str, id: str, type_: type, payload: Schema, tag: str) -> Object:
        """A message that is JSON; a reference to it."""
        about = {**_about(type_), "contentType": JSON, "payload": payload}
        return self.message(channel, id, about, tag, {"payload": self.examples().of(payload)})

    def frame(self, channel: str, id: str, about: Object, parts: Sequence[Part], tag: str) -> Object:
        """A message that is a frame; a reference to it."""
        return self.message(channel, id, {**about, **_frame(parts)}, tag, {"payload": self._example(parts, id)})

    def operation(self, id: str, action: str, channel: str, tag: str, reply: Object | None = None) -> None:
        """What the app does there, or hears there; `reply` refers to the message that answers it."""
        found = self.channels[channel]
        messages = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in found["messages"]]
        what = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": found["summary"]}
        self.operations[id] = {**what, "tags": [{"name": tag}], "messages": messages}
        if reply is not None:
            arrives = {"$ref": reply["$ref"].partition("/messages/")[0]}
            self.operations[id]["reply"] = {"channel": arrives, "messages": [reply]}

    def examples(self) -> Examples:
        """What makes examples from these schemas."""
        return Examples(self.schemas.named)

    def command(self, type_: type[Command]) -> None:
        """A command, whose result is its reply."""
        context, _, _ = type_.subject.partition(".")
        channel = f"cmd.{type_.subject}"
        self.channel(channel, f"{envelope.COMMAND_SUBJECT}.{{account}}.{type_.subject}", _summary(type_))
        body = self.schemas.sent(type_)
        parts: list[Part] = [("signature", None), ("envelope", _envelope("CommandEnvelope", "body", body))]
        if sealed_fields(type_):
            parts.append(("sealed...", None))
        about = {**_about(type_), "headers": _no_message_id()}
        self.frame(channel, type_.subject, about, parts, context)
        if sealed_fields(type_):
            self.messages[type_.subject]["payload"]["properties"]["sealed"]["maxItems"] = envelope.MAX_SEALED
        self.operation(f"send.{type_.subject}", "send", channel, context, RESULT)

    def result(self) -> None:
        """What becomes of every command."""
        address = f"{envelope.RESULT_SUBJECT}.{{account}}.{{command}}"
        self.channel("result", address, "The result of one command. Listen before you publish: none is stored here.")
        self.json("result", "result", envelope.Result, self.schemas.told(envelope.Result), "results")
        self.operation("receive.result", "receive", "result", "results")

    def query(self, view: str) -> None:
        """A view: the question, and the answer in the account's inbox."""
        ask = views.ASKS[view]
        channel = f"qry.{view}"
        self.channel(channel, f"{envelope.QUERY_SUBJECT}.{{account}}.{view}", _summary(ask))
        params = self.schemas.sent(ask)
        asked: list[Part] = [("signature", None), ("envelope", _envelope("QueryEnvelope", "params", params))]
        self.frame(channel, f"ask.{view}", _about(ask), asked, "queries")
        row = self.schemas.told(views.ROWS[view])
        rows = {"properties": {"rows": {"items": row}}}
        answer = {"allOf": [{"$ref": "#/components/schemas/Answer"}, rows]}
        about = {"title": f"Answer of {view}", "summary": f"A page of `{view}`."}
        reply = self.frame("inbox", f"answer.{view}", about, [("answer", answer), ("sealed...", None)], "queries")
        self.operation(f"ask.{view}", "send", channel, "queries", reply)

    def feed(self) -> None:
        """The live feed."""
        self.channel("feed", f"{envelope.FEED_SUBJECT}.{{account}}", "Wakes an agent: something happened. May be lost.")
        self.json("feed", "feed", envelope.FeedEntry, self.schemas.told(envelope.FeedEntry), "feed")
        self.operation("receive.feed", "receive", "feed", "feed")

    def event(self, type_: type[Event]) -> None:
        """An event, for trusted consumers."""
        channel = f"evt.{type_.name}"
        address = f"{envelope.EVENT_SUBJECT}.{type_.context}.{type_.name}.{{stream}}"
        self.channel(channel, address, f"{_summary(type_)} Stream `{type_.kind}-<{type_.id_field}>`.")
        event = self.schemas.sent(type_)
        payload = {
            "type": "object",
            "properties": {"event": event, "meta": {"$ref": "#/components/schemas/Meta"}},
            "required": ["event", "meta"],
            "additionalProperties": False,
        }
        about = {**_about(type_), "contentType": JSON, "payload": payload, "headers": _event_headers()}
        example = {"headers": self.examples().of(_event_headers()), "payload": self.examples().of(payload)}
        example["headers"]["Nats-Msg-Id"] = "event-1"
        self.message(channel, f"event.{type_.name}", about, type_.context, example)
        self.operation(f"receive.{type_.name}", "receive", channel, type_.context)

    def past(self) -> None:
        """What consumers missed, a page for each request."""
        self.channel("past", f"{past.PAST_SUBJECT}.{{consumer}}.{{contexts}}", "Where a consumer asks for the past.")
        self.json("past", "ask.past", past.AskPast, self.schemas.sent(past.AskPast), "events")
        reply = self.json("inbox.consumer", "past", past.PastPage, self.schemas.told(past.PastPage), "events")
        self.operation("ask.past", "send", "past", "events", reply)

    def enrolment(self, type_: type[enrolment.EnrolDevice] | type[enrolment.EnrolLogin]) -> None:
        """How a credential for the bus is had."""
        name = type_.subject.rpartition(".")[2]
        channel = f"enrol.{name}"
        self.channel(channel, type_.subject, _summary(type_))
        self.json(channel, channel, type_, self.schemas.sent(type_), "enrolment")
        answer = self.schemas.told(enrolment.Enrolled)
        reply = self.json("inbox.enrol", "enrolled", enrolment.Enrolled, answer, "enrolment")
        self.operation(f"send.enrol.{name}", "send", channel, "enrolment", reply)

    def supplier(self, type_: type[suppliers.Request]) -> None:
        """A request to a supplier of fragments, and its answer."""
        channel = f"supplier.{type_.verb}"
        self.channel(channel, f"{suppliers.SUPPLIER_SUBJECT}.{{supplier}}.{type_.verb}", _summary(type_))
        parts: list[Part] = [("request", self.schemas.sent(type_, f"Supplier{type_.__name__}"))]
        if type_ is suppliers.Put:
            parts.append(("fragment", None))
        self.frame(channel, channel, {**_about(type_), "title": f"Supplier {type_.verb}"}, parts, "suppliers")
        answered: list[Part] = [("answer", self.schemas.told(suppliers.Supplied, sparse=True))]
        if type_ is suppliers.Get:
            answered.append(("fragment...", None))
        about = {**_about(suppliers.Supplied), "title": f"Supplier's answer to {type_.verb}", **_frame(answered)}
        shown = self._example(answered, type_.verb)
        said = ("status", "more", *SUPPLIED.get(type_.verb, ()))
        example = {"payload": shown | {"answer": {name: shown["answer"][name] for name in said}}}
        reply = self.message("inbox", f"supplied.{type_.verb}", about, "suppliers", example)
        self.operation(f"ask.supplier.{type_.verb}", "send", channel, "suppliers", reply)

    def read_record(self) -> None:
        """Inside the backend: who answers queries has reads recorded."""
        self.channel("read.record", reads.RECORD_SUBJECT, "Inside the backend: have a read that matters recorded.")
        asked: list[Part] = [
            ("signature", None),
            (
                "evidence",
                {"anyOf": [self.schemas.sent(each) for each in (envelope.QueryEnvelope, enrolment.EnrolLogin)]},
            ),
            ("request", self.schemas.sent(reads.ReadRequest)),
        ]
        self.frame("read.record", "read.record", _about(reads.ReadRequest), asked, "backend")
        answer = self.schemas.told(reads.ReadReply)
        reply = self.json("inbox.backend", "read.recorded", reads.ReadReply, answer, "backend")
        self.operation("ask.read.record", "send", "read.record", "backend", reply)

    def revoke(self) -> None:
        """Inside the backend: the operator's command tells the role that issues credentials what was taken back."""
        summary = "Inside the backend: credentials that the operator has taken back."
        self.channel("revoke", "privity.revoke", summary)
        text = {"type": "string"}
        given = {"kind": text, "id": text, "name": text, "nkey": text, "until": {"type": "integer"}}
        given |= {"revoked": {"type": "boolean"}}
        payload = {"type": "array", "items": {"type": "object", "properties": given, "required": list(given)}}
        about = {"title": "Revoke", "summary": summary, "contentType": JSON, "payload": payload}
        self.message("revoke", "revoke", about, "backend", {"payload": self.examples().of(payload)})
        answer = {"title": "Revoked", "summary": "A word: the bus was told.", "contentType": BYTES, "payload": _raw()}
        reply = self.message("inbox.backend", "revoked", answer, "backend", {"payload": b64(b"told")})
        self.operation("send.revoke", "send", "revoke", "backend", reply)

    def parked(self) -> None:
        """Inside the backend: what could not be processed."""
        self.channel("dead", f"{envelope.DEAD_SUBJECT}.{{context}}", "Inside the backend: parked for the operator.")
        headers = {
            "type": "object",
            "properties": {
                "Privity-Reason": {"type": "string"},
                "Privity-Subject": {"type": "string"},
                "Privity-At": {"$ref": "#/components/schemas/Instant"},
            },
            "required": ["Privity-Reason", "Privity-Subject", "Privity-At"],
        }
        summary = "The bytes of a message as they came, cut behind 1,000 KiB, with the reason in the headers."
        about = {
            "title": "Parked message",
            "summary": summary,
            "contentType": BYTES,
            "payload": _raw(),
            "headers": headers,
        }
        example = {"headers": self.examples().of(headers), "payload": b64(b"as it came")}
        self.message("dead", "dead", about, "backend", example)
        self.operation("receive.dead", "receive", "dead", "backend")

    def _example(self, parts: Sequence[Part], name: str) -> Object:
        """A frame's payload: where objects ride behind, those that the rest names."""
        examples, found = self.examples(), dict[str, Any]()
        for part, schema in parts:
            key = part.removesuffix("...")
            if schema is not None:
                found[key] = examples.of(schema, key)
            elif part == "sealed...":
                found[key] = [b64(each) for each in examples.sealed.values()]
            elif part == "signature":
                found[key] = examples.of({"$ref": "#/components/schemas/Signature"}, f"signature of {name}")
            else:
                found[key] = [] if part.endswith("...") else b64(f"the {part}".encode())
        return found


def _envelope(envelope_: str, field: str, inner: Schema) -> Schema:
    return {"allOf": [{"$ref": f"#/components/schemas/{envelope_}"}, {"properties": {field: inner}}]}


def _frame(parts: Sequence[Part]) -> Object:
    """The content type and payload of a frame of these parts."""
    properties: dict[str, Schema] = {}
    layout: list[Object] = []
    for part, schema in parts:
        name, many = part.removesuffix("..."), part.endswith("...")
        raw = {"type": "array", "items": _raw()} if many else _raw()
        properties[name] = raw if schema is None else schema
        layout.append({"part": name, "as": "bytes" if schema is None else "json", **({"many": True} if many else {})})
    payload = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"contentType": FRAME, "payload": payload, "x-privity-frame": layout}


def _raw() -> Schema:
    return {"$ref": f"#/components/schemas/{RAW}"}


def _no_message_id() -> Schema:
    return {
        "type": "object",
        "not": {"required": ["Nats-Msg-Id"]},
        "description": "Set no `Nats-Msg-Id`: the bus would swallow a repeat.",
    }


def _event_headers() -> Schema:
    number = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "type": "object",
        "properties": {
            POSITION_HEADER: {**number, "description": "The event's place in the one order of all events."},
            PREVIOUS_HEADER: {**number, "description": "The position of the event before: a gap shows."},
            VERSION_HEADER: {**number, "description": "The event's number in its stream, from 1."},
            "Nats-Msg-Id": {"type": "string", "description": "`event-<position>`."},
        },
        "required": [POSITION_HEADER, PREVIOUS_HEADER, VERSION_HEADER, "Nats-Msg-Id"],
    }


def _server() -> Object:
    return {
        "host": "{host}:{port}",
        "protocol": "nats",
        "description": "A home. Its connection string says where the bus is; with `tls=on` in it, `tls://`.",
        "variables": {
            "host": {"default": "127.0.0.1", "description": "Where the home is."},
            "port": {"default": "4222", "description": "The bus's port."},
        },
        "security": [{"$ref": "#/components/securitySchemes/device"}],
    }


def _security() -> Object:
    return {
        "type": "asymmetricEncryption",
        "description": "A NATS user JWT that names the account, and the nkey that the JWT names, which signs the "
        "server's nonce. The enrolment gives it; the connection string holds the one to enrol with.",
    }


def _paragraphs(type_: type) -> list[str]:
    return unwrapped(type_.__doc__ or "").split("\n\n")


def _summary(type_: type) -> str:
    return _paragraphs(type_)[0]


def _about(type_: type) -> Object:
    first, *rest = _paragraphs(type_)
    return {"title": type_.__name__, "summary": first, **({"description": "\n\n".join(rest)} if rest else {})}
