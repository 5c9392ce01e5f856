"""What every bus promises, whatever carries it: at most once, in order per sender and topic, never to the sender."""

import asyncio

from hub.bus import TOPICS, Bus, Presence, topics_of
from protocol.names import Kind
from tests.bus.hearing import ANSWERS, ORDERS, OTHERS, WATTS, Ear, bundle, run, section
from tests.waiting import WAIT_S, until


async def told(ear: Ear, name: str, *values: object) -> None:
    async def heard() -> bool:
        return ear.told(name)[-len(values) :] == list(values)

    await until(heard)


async def test_what_one_publishes_the_other_hears(join):
    """A message arrives as it was published, with the place of its device."""
    speaker, _ = await join()
    _, ear = await join(WATTS)
    sent = section(WATTS, 5, 6, before=4, parameters={"value": 60})

    speaker.publish(bundle(sent, worker=run()))

    await ear.until_heard(WATTS, [5, 6])
    assert [sent] == [type(sent)(found.topic, found.before, list(found.items)) for found in ear.sections(WATTS)]


async def test_commands_and_updates_arrive_as_they_were_sent(join):
    """Every member of a command survives, also what a device has answered to it."""
    speaker, _ = await join()
    _, ear = await join(ORDERS, ANSWERS)
    order = section(ORDERS, 7, user_id=2, lifetime_s=60)
    answer = section(ANSWERS, 8, user_id=None, lifetime_s=-1)

    speaker.publish(bundle(order, answer, worker=run()))

    await ear.until_heard(ORDERS, [7])
    await ear.until_heard(ANSWERS, [8])
    assert [list(order.items)] == [list(found.items) for found in ear.sections(ORDERS)]
    assert [list(answer.items)] == [list(found.items) for found in ear.sections(ANSWERS)]


async def test_nobody_hears_himself(join):
    """What a bus publishes comes to the others only."""
    speaker, own = await join(WATTS)
    other, ear = await join(WATTS)

    speaker.publish(bundle(section(WATTS, 1), worker=run()))
    await ear.until_heard(WATTS, [1])
    other.publish(bundle(section(WATTS, 2), worker=run()))

    await own.until_heard(WATTS, [2])


async def test_only_followed_topics_are_heard(join):
    """A bundle is cut down to the topics that its receiver follows."""
    speaker, _ = await join()
    _, ear = await join(WATTS)

    speaker.publish(bundle(section(OTHERS, 1), section(WATTS, 2), worker=run()))

    await ear.until_heard(WATTS, [2])
    assert not ear.sections(OTHERS)


async def test_a_bundle_of_many_topics_is_cut_down_too(join):
    """However a bundle travels, each receiver gets the sections that it follows and no others."""
    speaker, _ = await join()
    _, ear = await join(WATTS)
    everything = [section(topic, 9) for topic in topics_of(Kind.NOTIFICATION)]

    speaker.publish(bundle(*everything, worker=run()))

    await ear.until_heard(WATTS, [9])
    assert {WATTS} == {found.topic for heard in ear.bundles for found in heard.sections}


async def test_a_topic_keeps_its_order(join):
    """Bundles of few topics and of many, small ones and large: each topic arrives in the order of its sender."""
    speaker, _ = await join()
    _, ear = await join(WATTS, OTHERS)
    worker = run()
    many = topics_of(Kind.NOTIFICATION)

    for number in range(1, 301):
        topics = many[:10] if number % 3 == 0 else (WATTS, OTHERS)
        large = {"parameters": "x" * 20_000} if number % 7 == 0 else {}
        sections = [section(topic, number, before=number - 1, **large) for topic in topics]
        speaker.publish(bundle(*sections, worker=worker))
        if number % 20 == 0:
            await ear.until_heard(WATTS, range(1, number + 1))

    await ear.until_heard(WATTS, range(1, 301))
    await ear.until_heard(OTHERS, range(1, 301))


async def test_senders_do_not_mix(join):
    """Each sender's order is its own; sections of two senders are never joined."""
    first, _ = await join()
    second, _ = await join()
    _, ear = await join(WATTS)
    names = run(), run()

    for number in range(1, 101):
        first.publish(bundle(section(WATTS, number, before=number - 1), worker=names[0]))
        second.publish(bundle(section(WATTS, number, before=number - 1), worker=names[1]))

    async def complete() -> bool:
        return all(ear.ids(WATTS, name) == list(range(1, 101)) for name in names)

    await until(complete)


async def test_every_section_names_what_came_before_it(join):
    """However sections are joined on their way, ``before`` is the id of the item that came before on this topic."""
    speaker, _ = await join()
    _, ear = await join(WATTS)
    worker = run()

    for number in range(1, 51):
        speaker.publish(bundle(section(WATTS, 2 * number, before=2 * number - 2), worker=worker))

    await ear.until_heard(WATTS, range(2, 101, 2))
    last = [0, *(found.items[-1].message.id for found in ear.sections(WATTS))]
    assert last[:-1] == [found.before for found in ear.sections(WATTS)]


async def test_a_gap_of_the_sender_stays_a_gap(join):
    """What the sender left out is not covered up when sections are joined."""
    speaker, _ = await join()
    _, ear = await join(WATTS)
    worker = run()

    speaker.publish(bundle(section(WATTS, 1), worker=worker))
    speaker.publish(bundle(section(WATTS, 3, before=2), worker=worker))

    await ear.until_heard(WATTS, [1, 3])
    assert [found.before for found in ear.sections(WATTS)] == [0, 2]


async def test_a_topic_is_joined_before_it_is_heard(join):
    """Nothing of a topic comes before its receiver was told to be joined, also while somebody speaks all the time."""
    speaker, _ = await join(ORDERS)
    follower, ear = await join()
    worker = run()
    topics = topics_of(Kind.NOTIFICATION)

    for number in range(1, 65):
        speaker.publish(bundle(*(section(topic, number) for topic in topics), worker=worker))
        follower.follow(topics[number - 1 : number])
        await ear.until_joined(topics[number - 1])

    speaker.publish(bundle(*(section(topic, 65) for topic in topics), worker=worker))
    await told_all(ear, topics)
    assert not ear.unjoined


async def told_all(ear: Ear, topics: range) -> None:
    async def heard() -> bool:
        return all(65 in ear.ids(topic) for topic in topics)

    await until(heard)


async def test_what_is_published_after_joining_is_heard(join):
    """From ``joined`` on nothing is missed."""
    speaker, _ = await join()
    follower, ear = await join()
    worker = run()

    for topic in range(20):
        follower.follow([topic])
        await ear.until_joined(topic)
        speaker.publish(bundle(section(topic, 1), worker=worker))

    async def complete() -> bool:
        return all(ear.ids(topic) == [1] for topic in range(20))

    await until(complete)


async def test_an_unfollowed_topic_is_heard_no_more(join):
    """After unfollowing, and what was under way, nothing of the topic comes; following again brings it back."""
    speaker, _ = await join()
    follower, ear = await join(WATTS, OTHERS)
    worker = run()

    follower.unfollow([WATTS])
    ear.topics.discard(WATTS)
    speaker.publish(bundle(section(WATTS, 1), section(OTHERS, 1), worker=worker))
    await ear.until_heard(OTHERS, [1])
    follower.follow([WATTS])
    await ear.until_joined(WATTS)
    speaker.publish(bundle(section(WATTS, 2, before=1), worker=worker))

    await ear.until_heard(WATTS, [2])


async def test_changing_ones_mind_ends_where_it_ends(join):
    """Following and unfollowing in quick succession leaves what was said last."""
    speaker, _ = await join()
    follower, ear = await join()
    for _ in range(20):
        follower.follow([WATTS, OTHERS])
        follower.unfollow([WATTS, OTHERS])
    follower.follow([WATTS])
    await ear.until_joined(WATTS)
    ear.unjoined.clear()

    speaker.publish(bundle(section(OTHERS, 1), section(WATTS, 1), worker=run()))

    await ear.until_heard(WATTS, [1])
    assert not ear.sections(OTHERS)


async def test_all_topics_can_be_followed_at_once(join):
    """An administrator's worker follows everything."""
    speaker, _ = await join()
    _, ear = await join(*range(TOPICS))

    speaker.publish(bundle(*(section(topic, 1) for topic in range(TOPICS)), worker=run()))

    async def complete() -> bool:
        return all(ear.ids(topic) == [1] for topic in range(TOPICS))

    await until(complete)


async def test_what_is_told_to_everybody_reaches_everybody(join):
    """Ends, revisions, presence, questions and farewells need no topic."""
    speaker, _ = await join()
    _, ear = await join()
    worker = run()
    presence = Presence({2: 1}, {5: (1_000, 2_000)}, whole=True)

    speaker.publish(bundle(worker=worker, ends={WATTS: 7}, floor=6))
    speaker.publish(bundle(worker=worker, revision=4))
    speaker.publish(bundle(worker=worker, presence=presence))
    speaker.publish(bundle(worker=worker, asks_ms=8))
    speaker.publish(bundle(worker=worker, leaving=True))

    await told(ear, "leaving", True)
    await told(ear, "asks_ms", 8)
    await told(ear, "ends", {WATTS: 7})
    await told(ear, "revision", 4)
    await told(ear, "presence", presence)
    assert max(heard.floor for heard in ear.bundles) == 6


async def test_a_large_bundle_arrives_whole(join):
    """10,000 messages of 300 bytes, at once."""
    speaker, _ = await join()
    _, ear = await join(WATTS)

    speaker.publish(bundle(section(WATTS, *range(1, 10_001), parameters="x" * 300), worker=run()))

    await ear.until_heard(WATTS, range(1, 10_001))


async def test_after_closing_nothing_is_heard(join):
    """A bus that was closed is silent; closing it again is harmless."""
    speaker, _ = await join()
    leaver, gone = await join(WATTS)
    _, ear = await join(WATTS)

    await leaver.close()
    await leaver.close()
    speaker.publish(bundle(section(WATTS, 1), worker=run()))

    await ear.until_heard(WATTS, [1])
    assert not gone.bundles


async def test_closing_sends_what_is_under_way(join):
    """What was published just before closing arrives."""
    speaker, _ = await join()
    _, ear = await join(WATTS)
    worker = run()

    for number in range(1, 101):
        speaker.publish(bundle(section(WATTS, number, before=number - 1), worker=worker))
    speaker.publish(bundle(worker=worker, leaving=True))
    await speaker.close()

    await ear.until_heard(WATTS, range(1, 101))
    await told(ear, "leaving", True)


async def passed(bus: Bus) -> None:
    """Return when a fence has passed."""
    gate = asyncio.Event()
    bus.fence(gate.set)
    assert not gate.is_set()
    async with asyncio.timeout(WAIT_S):
        await gate.wait()


async def test_behind_a_fence_everything_comes_later(join):
    """What somebody publishes after another's fence has passed is heard after what was before the fence."""
    speakers = [(await join())[0] for _ in range(2)]
    _, ear = await join(WATTS)
    workers = run(), run()

    for number in range(1, 101):
        turn = number % 2
        speakers[turn].publish(bundle(section(WATTS, number), worker=workers[turn]))
        await passed(speakers[turn])

    await ear.until_heard(WATTS, range(1, 101))


async def test_when_a_fence_has_passed_what_came_before_it_is_heard(join):
    """Also many topics, and large ones: what was behind the others' fences is here when the own one has passed."""
    speaker, _ = await join()
    follower, ear = await join(WATTS, ORDERS)
    worker, own = run(), run()
    many = topics_of(Kind.NOTIFICATION)

    for number in range(1, 51):
        large = {"parameters": "x" * 20_000} if number % 7 == 0 else {}
        sections = [section(topic, number, **large) for topic in (many[:10] if number % 3 == 0 else (WATTS,))]
        speaker.publish(bundle(*sections, section(ORDERS, number), worker=worker))
        await passed(speaker)
        follower.publish(bundle(section(WATTS, 1_000 + number), worker=own))
        await passed(follower)

        assert (ear.ids(WATTS)[-1], ear.ids(ORDERS)[-1]) == (number, number)


async def test_fences_pass_in_their_order(join):
    """Also those of one turn, and those with nothing before them."""
    bus, _ = await join(WATTS)
    order: list[int] = []

    for number in range(10):
        if number % 3:
            bus.publish(bundle(section(WATTS, number), worker=run()))
        bus.fence(lambda number=number: order.append(number))
        if number % 4 == 0:
            await asyncio.sleep(0)
    await passed(bus)

    assert order == list(range(10))


async def test_a_fence_passes_when_nobody_is_there_any_more(join):
    """Whoever waits for it does not wait for ever."""
    bus, _ = await join(WATTS)
    order: list[int] = []
    bus.fence(lambda: order.append(1))

    await bus.close()
    await passed(bus)

    assert order == [1]
