"""A connection of the fleet's own to the broker: TLS, certificate, MQTT 5, always made again."""

import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fleet.pki import Authority
from fleet.settings import FleetSettings
from runtime.topics import Party, TopicName, find_topic, subscription

log = logging.getLogger(__name__)

KEEPALIVE_S = 20
SESSION_S = 3600  # how long the broker keeps what an ingester has not acknowledged
RECEIVE_MAXIMUM = 500  # messages on their way to an ingester at once

OnMessage = Callable[[Client, MQTTMessage], None]


class FleetClient:
    """`party` decides which certificate, and so which rights, the connection has."""

    def __init__(
        self,
        settings: FleetSettings,
        party: Party,
        client_id: str,
        topics: Sequence[TopicName],
        on_message: OnMessage,
        *,
        manual_ack: bool = False,
    ) -> None:
        self.connections = 0
        self._topics = topics
        self._on_message_of_ours = on_message
        self._manual_ack = manual_ack
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=manual_ack,
        )
        self.client.tls_set_context(_tls(settings, party))
        self.client.reconnect_delay_set(1, 10)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = self._on_message
        self._address = (settings.broker_host, settings.broker_port)

    def start(self) -> None:
        properties = Properties(PacketTypes.CONNECT)
        if self._manual_ack:
            properties.SessionExpiryInterval = SESSION_S
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self.client.connect_async(
            *self._address,
            keepalive=KEEPALIVE_S,
            clean_start=not self._manual_ack,
            properties=properties,
        )
        self.client.loop_start()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def connected(self) -> bool:
        return self.client.is_connected()

    def _on_connect(
        self, client: Client, _user: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker refused %s: %s", client._client_id, reason)
            return
        self.connections += 1
        client.subscribe([(subscription(name), find_topic(name).qos) for name in self._topics])  # pyright: ignore[reportArgumentType]
        log.info("connected to %s:%s", *self._address)

    def _on_disconnect(
        self, _client: Client, _user: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        log.info("disconnected: %s", reason)

    def _on_message(self, client: Client, _user: Any, message: MQTTMessage) -> None:
        try:
            self._on_message_of_ours(client, message)
        except Exception:  # the network thread must outlive any one message
            log.exception("message on %s could not be handled", message.topic)


def _tls(settings: FleetSettings, party: Party) -> ssl.SSLContext:
    authority = Authority(settings.pki)
    pair = authority.issue_party(party)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(authority.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key)
    return context
