"""Configuration rows, which win over the hub's settings of the same meaning, and what of them everybody may know."""

from typing import Any

from hub.actions.caller import Caller
from hub.core.identities import PROVIDERS
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_forms import OneConfiguration, PutConfiguration, SetConfiguration
from protocol.errors import bad_parameter
from protocol.forms import Form
from protocol.names import CONFIGURATION_NAME_MAX, CONFIGURATION_VALUE_MAX, Provider


async def get_configuration(gateway: Gateway, caller: Caller, ask: OneConfiguration) -> str | None:
    """The value of a row; None: there is none."""
    stored = await gateway.store.consult(lambda tx: tx.configuration_value(ask.name))
    return gateway.policy.seeded.get(ask.name) if stored is None else stored


async def put_configuration(gateway: Gateway, caller: Caller, ask: PutConfiguration | SetConfiguration) -> None:
    """Create or replace a row; it counts when this returns."""
    name, value = ask.name, ask.value
    if not 1 <= len(name) <= CONFIGURATION_NAME_MAX:
        raise bad_parameter("name")
    if not 1 <= len(value) <= CONFIGURATION_VALUE_MAX:
        raise bad_parameter("value")

    def work(tx: Tx, _: object) -> None:
        tx.put_configuration(name, value)

    await gateway.transact(work)
    await gateway.read_configuration()


async def delete_configuration(gateway: Gateway, caller: Caller, ask: OneConfiguration) -> None:
    """Delete a row, if there is one; the setting counts again when this returns."""
    await gateway.transact(lambda tx, _: tx.delete_configuration(ask.name))
    await gateway.read_configuration()


def is_allowed(gateway: Gateway, provider: Provider) -> bool:
    """Whether an administrator has enabled an identity provider."""
    return gateway.configuration.get(f"{provider}.identity.allowed", "").strip().lower() == "true"


async def get_auth_config(gateway: Gateway, caller: Caller, ask: Form) -> dict[str, Any]:
    """How one may log in, and for how long."""
    enabled = [
        {"name": provider.value, "clientId": gateway.configuration.get(f"{provider}.identity.client.id")}
        for provider in PROVIDERS
        if is_allowed(gateway, provider)
    ]
    return {
        "providers": [*enabled, {"name": Provider.PASSWORD.value, "clientId": ""}],
        "sessionTimeout": gateway.logins.session_timeout_ms // 1000,
    }


async def get_cluster_config(gateway: Gateway, caller: Caller, ask: Form) -> dict[str, Any]:
    """What DeviceHive tells of its brokers; of ours there is one, or none."""
    return {
        "metadata.broker.list": gateway.policy.bus_address,
        "zookeeper.connect": None,
        "threads.count": 1,
        "cassandra.contactpoints": None,
    }
