"""Who is told of alerts. Grouping, inhibition, silences and delivery are Alertmanager's."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from conf.schema.base import Key, Model, Table, setting

Hours = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
SecretFile = Annotated[str, Field(pattern=r"^/\S+$", max_length=255)]
Duration = Annotated[float, Field(ge=1, le=604_800)]


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class ReceiverKind(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"
    CHAT = "chat"
    PAGER = "pager"


class Label(StrEnum):
    """What an alert carries towards Alertmanager, to be matched and grouped by."""

    ALERTNAME = "alertname"
    RULE = "rule"
    SUBJECT = "subject"
    SITE = "site"
    SEVERITY = "severity"


class Receiver(Model):
    """One way to reach somebody. Its kind says which of the other keys there are."""

    kind: ReceiverKind = setting("webhook, email, chat (Slack's webhook), pager (PagerDuty)")
    url: str = setting(
        "webhook: where to; pager: where to, if not to PagerDuty itself; it must hold no secret",
        default="",
        pattern=r"^$|^https?://[^\s@]+$",
        because="this file is in version control, and so would be the secret",
    )
    to: str = setting("email: to whom", default="", max_length=320)
    sender: str = setting("email: from whom", default="", max_length=320)
    smarthost: str = setting("email: mail server, host:port", default="", pattern=r"^$|^\S+:\d+$")
    user: str = setting("email: name at that server", default="", max_length=320)
    tls: bool = setting(
        "email: a server that does not offer TLS is refused",
        default=True,
        because="what is wrong with whose robots is nobody's business on the way",
    )
    ca_file: SecretFile | None = setting(
        "email: certificates that the server is judged by, if not those of the system", default=None
    )
    secret_file: SecretFile | None = setting(
        "file with the mail password, the chat's webhook address, or the pager's routing key",
        default=None,
        because="secrets are never written into configuration",
    )
    channel: str = setting("chat: which channel", default="", max_length=80)
    send_resolved: bool = setting("tell as well when it is over", default=True)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = {
            ReceiverKind.WEBHOOK: ("url",),
            ReceiverKind.EMAIL: ("to", "sender", "smarthost"),
            ReceiverKind.CHAT: ("secret_file", "channel"),
            ReceiverKind.PAGER: ("secret_file",),
        }[self.kind]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"a receiver of kind {self.kind} needs {', '.join(missing)}")
        if self.user and self.secret_file is None:
            raise ValueError("user goes with secret_file, the file that holds the password")
        return self


class Match(Model):
    """All that is given must be so; a label may be one of several values."""

    alertname: tuple[str, ...] = setting("names of alerts", default=())
    rule: tuple[Key, ...] = setting("rules", default=())
    subject: tuple[str, ...] = setting("robots, or fleet", default=())
    site: tuple[str, ...] = setting("sites", default=())
    severity: tuple[str, ...] = setting("severities", default=())

    @model_validator(mode="after")
    def _values_are_plain(self) -> Self:
        for label in Label:
            for value in getattr(self, label.value):
                if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", value):
                    raise ValueError(f"{label.value} {value!r} is no plain name")
        return self

    @property
    def given(self) -> dict[Label, tuple[str, ...]]:
        found = {label: getattr(self, label.value) for label in Label}
        return {label: values for label, values in found.items() if values}


class Route(Model):
    """Every route that matches is followed; what matches none goes to `default_receiver`."""

    match: Match = setting("which alerts", default=Match())
    receiver: Key = setting("to whom")
    group_by: tuple[Label, ...] = setting(
        "what shares these comes in one message", default=(Label.ALERTNAME, Label.SITE)
    )
    group_wait_s: Duration = setting("time to gather the first message", default=10.0)
    group_interval_s: Duration = setting("between messages about what is new", default=300.0)
    repeat_interval_s: Duration = setting("until it is said again", default=14_400.0)
    muted_in: tuple[Key, ...] = setting("maintenance windows in which it is quiet", default=())


class Inhibition(Model):
    """While `source` fires, `target` is not told, for whatever shares the labels of `equal`."""

    source: Match = setting("what explains it")
    target: Match = setting("what needs not be said as well")
    equal: tuple[Label, ...] = setting("what both share", default=(Label.SUBJECT,))

    @model_validator(mode="after")
    def _both_are_given(self) -> Self:
        if not self.source.given or not self.target.given:
            raise ValueError("source and target must each match something")
        return self


class Window(Model):
    """A maintenance window, every week."""

    days: tuple[Weekday, ...] = setting("on which days; none: every day", default=())
    hours: tuple[Hours, ...] = setting("from-to, as 02:00-04:30", min_length=1)
    zone: str = setting("time zone", default="UTC", pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/\S+)?$")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        for hours in self.hours:
            first, _, last = hours.partition("-")
            if last <= first:
                raise ValueError(f"{hours} ends before it begins; split it at midnight")
        return self


class Notify(Model):
    alertmanager: bool = setting(
        "run and use Prometheus Alertmanager; else webhook_url and the page", default=False
    )
    alertmanager_port: int = setting("its port on loopback", default=9093, ge=1, le=65_535)
    webhook_url: str = setting(
        "without Alertmanager: each change is posted here, until it is taken",
        default="",
        pattern=r"^$|^https?://[^\s@]+$",
    )
    resend_s: Duration = setting("what fires is sent to Alertmanager this often", default=30.0)
    hold_s: Duration = setting(
        "Alertmanager keeps what it has not heard of for this long",
        default=900.0,
        because="an alert that expires while the fleet side restarts looks like an end",
    )
    default_receiver: Key = setting("who is told when no route matches", default="nobody")
    receivers: Table[Key, Receiver] = setting("who can be told", default={})
    routes: Table[Key, Route] = setting("who is told of what", default={})
    inhibitions: Table[Key, Inhibition] = setting("what needs not be said", default={})
    windows: Table[Key, Window] = setting("maintenance windows", default={})

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = {*self.receivers, "nobody"}
        for name, route in self.routes.items():
            if route.receiver not in known:
                raise ValueError(f"route {name} goes to {route.receiver}, which is no receiver")
            foreign = [window for window in route.muted_in if window not in self.windows]
            if foreign:
                raise ValueError(f"route {name} is muted in {foreign[0]}, which is no window")
        if self.default_receiver not in known:
            raise ValueError(f"default_receiver {self.default_receiver} is no receiver")
        if self.alertmanager and self.resend_s * 3 > self.hold_s:
            raise ValueError("hold_s must be at least three times resend_s")
        return self
