"""Asking about a command by its id, and moving it on: what extended mode has beside inserting and updating."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.devices import require_device
from hub.core.states import CANCEL, RECEIVE
from hub.gateway import Gateway
from hub.gateway.calls import in_task
from hub.store import Stepped
from protocol.codecs import command_members
from protocol.entities import Device
from protocol.errors import COMMAND_ID_REQUIRED, COMMAND_NOT_FOUND, GUID_REQUIRED, NOT_CANCELLABLE
from protocol.messages import Command, Moves
from protocol.names import CommandState, KeyAction
from protocol.requests import NameCommand


async def show_command(gateway: Gateway, caller: Caller, ask: NameCommand) -> dict[str, Any]:
    """One command with its state, as it is now."""
    device, command_id = await _named(gateway, caller, ask, KeyAction.GET_DEVICE_COMMAND)
    return {"command": command_members(await _read(gateway, device, command_id))}


async def watch_command(gateway: Gateway, caller: Caller, ask: NameCommand) -> dict[str, Any]:
    """Push what becomes of a command to this connection from now on, and answer with what has become of it so far."""
    device, command_id = await _named(gateway, caller, ask, KeyAction.GET_DEVICE_COMMAND)
    connection = caller.connection
    assert connection is not None, "only a connection watches"
    was_listening = command_id in connection.listening
    # First listen, then look: what comes in between may be told twice, but not left out.
    gateway.listen(connection, command_id)
    try:
        command = await _read(gateway, device, command_id)
    except BaseException:
        if not was_listening:
            gateway.unlisten(connection, command_id)
        raise
    gateway.rights.named.watch(connection, command)
    if caller.extended:
        gateway.states.watch_end(command)
    return {"command": command_members(command)}


async def receive_command(gateway: Gateway, caller: Caller, ask: NameCommand) -> dict[str, Any]:
    """A device has a command, and says so."""
    device, command_id = await _named(gateway, caller, ask, KeyAction.UPDATE_DEVICE_COMMAND)
    return _moved(await _move(gateway, device, command_id, RECEIVE))


async def cancel_command(gateway: Gateway, caller: Caller, ask: NameCommand) -> dict[str, Any]:
    """Take a command back that the device has not received."""
    device, command_id = await _named(gateway, caller, ask, KeyAction.CREATE_DEVICE_COMMAND)
    command = await _move(gateway, device, command_id, CANCEL)
    if command.state is not CommandState.CANCELLED:
        state = command.state.word
        raise NOT_CANCELLABLE.error(id=command_id, state=state, detail={"state": state})
    return _moved(command)


async def _named(gateway: Gateway, caller: Caller, ask: NameCommand, action: KeyAction) -> tuple[Device, int]:
    guid = caller.own_guid(ask.device_guid)
    if guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceGuid"})
    if ask.command_id is None:
        raise COMMAND_ID_REQUIRED.error(detail={"parameter": "commandId"})
    return await require_device(gateway, caller, action, guid), ask.command_id


async def _read(gateway: Gateway, device: Device, command_id: int) -> Command:
    command = await in_task(gateway.store.command(device.id, command_id))
    if command is None:
        raise COMMAND_NOT_FOUND.error(id=command_id)
    [settled] = await gateway.states.settled([command])
    return settled


async def _move(gateway: Gateway, device: Device, command_id: int, moves: Moves) -> Command:
    stepped: list[Stepped | None] = await gateway.states.move(device, command_id, moves)
    if stepped[0] is None:
        raise COMMAND_NOT_FOUND.error(id=command_id)
    return stepped[0].command


def _moved(command: Command) -> dict[str, Any]:
    return {"command": {"id": command.id, "state": command.state.word}}
