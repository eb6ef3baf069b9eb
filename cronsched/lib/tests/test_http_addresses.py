"""Nothing a user can type, and nothing a name can resolve to, reaches the inside."""

from ipaddress import ip_address, ip_network

import pytest

from cronsched.lib.http import (
    AddressRules,
    Category,
    ClientPolicy,
    HTTPClient,
    Kind,
    OutgoingRequest,
    RequestError,
    TargetRefused,
)
from cronsched.lib.tests import attacks
from cronsched.lib.tests.servers import OK, answering, target

STRICT = AddressRules()


@pytest.mark.parametrize("category", attacks.URLS)
def test_no_spelling_of_an_inner_address_gets_out(category):
    with target(answering(OK)) as inner:
        client = HTTPClient(ClientPolicy())
        got_out = []
        for url in attacks.URLS[category]:
            try:
                client.send(OutgoingRequest("GET", url.replace("{port}", str(inner.port))))
            except RequestError as error:
                if error.kind in {Kind.REFUSED, Kind.BAD_REQUEST, Kind.NOT_RESOLVED} and not error.request_sent:
                    continue
            got_out.append(url)
        assert got_out == []
        assert inner.connections == 0


@pytest.mark.parametrize("category", attacks.RESOLVED)
def test_no_name_that_resolves_inside_gets_out(category):
    got_out = []
    table = {f"name{number}.test": addresses for number, addresses in enumerate(attacks.RESOLVED[category])}
    client = HTTPClient(ClientPolicy(), resolve=table.__getitem__)
    for name, addresses in table.items():
        try:
            client.send(OutgoingRequest("GET", f"http://{name}/"))
        except TargetRefused:
            continue
        got_out.append(addresses)
    assert got_out == []


def test_the_attack_list_sees_a_client_that_is_open():
    with target(answering(OK)) as inner:
        client = HTTPClient(ClientPolicy(AddressRules(allow_private=True)))
        for url in ("http://127.0.0.1:{port}/", "http://0x7f.1:{port}/", "http://LocalHost:{port}/"):
            assert client.send(OutgoingRequest("GET", url.replace("{port}", str(inner.port)))).status == 200
        client.close()


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.215.14",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "2001:4860:4860::8888",
        "2a00:1450:4001:82a::200e",
        # The same public addresses behind a mapping or a NAT64.
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses_may_be_reached(address):
    assert STRICT.refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "address, category",
    [
        ("127.0.0.1", Category.LOOPBACK),
        ("10.0.0.1", Category.PRIVATE),
        ("100.64.0.1", Category.CARRIER),
        ("169.254.1.1", Category.LINK_LOCAL),
        ("169.254.169.254", Category.METADATA),
        ("168.63.129.16", Category.METADATA),
        ("0.0.0.0", Category.UNSPECIFIED),
        ("255.255.255.255", Category.BROADCAST),
        ("224.0.0.1", Category.MULTICAST),
        ("203.0.113.9", Category.DOCUMENTATION),
        ("198.18.0.1", Category.BENCHMARKING),
        ("240.0.0.1", Category.RESERVED),
        ("::ffff:127.0.0.1", Category.LOOPBACK),
        ("64:ff9b::10.0.0.1", Category.PRIVATE),
        ("64:ff9b:1::1", Category.TUNNEL),
        ("2002:808:808::", Category.TUNNEL),
        ("2001::1", Category.TUNNEL),
        ("100::1", Category.DISCARD),
        ("2001:20::1", Category.RESERVED),
        ("fe80::1%eth0", Category.LINK_LOCAL),
    ],
)
def test_each_address_is_refused_for_its_own_reason(address, category):
    assert STRICT.refusal(ip_address(address)) is category


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "::ffff:127.0.0.1"]
)
def test_private_networks_open_together(address):
    assert AddressRules(allow_private=True).refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1"]
)
def test_opening_private_networks_opens_neither_metadata_nor_what_is_no_host(address):
    assert AddressRules(allow_private=True).refusal(ip_address(address)) is not None


def test_a_listed_network_is_open_and_its_neighbours_are_not():
    rules = AddressRules(allowed=(ip_network("10.20.0.0/16"), ip_network("fd00:1::/32")))
    assert rules.refusal(ip_address("10.20.255.255")) is None
    assert rules.refusal(ip_address("::ffff:10.20.0.1")) is None
    assert rules.refusal(ip_address("fd00:1::5")) is None
    assert rules.refusal(ip_address("10.21.0.0")) is Category.PRIVATE
    assert rules.refusal(ip_address("127.0.0.1")) is Category.LOOPBACK


def test_only_its_own_address_opens_a_metadata_service():
    everything = AddressRules(allowed=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert everything.refusal(ip_address("169.254.169.254")) is Category.METADATA
    by_name = AddressRules(allowed=(ip_network("169.254.169.254/32"),))
    assert by_name.refusal(ip_address("169.254.169.254")) is None


def test_open_closed_and_filtered_inner_ports_look_the_same():
    with target(answering(OK)) as inner:
        client = HTTPClient(ClientPolicy())
        reasons = set()
        for port in (inner.port, 1, 65535):
            with pytest.raises(TargetRefused) as refused:
                client.send(OutgoingRequest("GET", f"http://127.0.0.1:{port}/"))
            reasons.add(refused.value.reason)
        with pytest.raises(TargetRefused) as refused:
            client.send(OutgoingRequest("GET", "http://10.255.255.1/"))
        assert reasons | {refused.value.reason} == {"target address is not allowed"}
        assert inner.connections == 0


def test_the_attack_list_is_long_and_counted():
    assert sum(attacks.counts().values()) > 200
    assert all(attacks.counts().values())
