"""What a program must not reach, and what it must keep, in every situation a machine may be in."""


def test_tier(host):
    assert host.hello["tier"]["name"] in host.situation.tiers, host.hello


def test_attacks_are_denied(host):
    got_through = {name: evidence for name, evidence in host.attack()["attacks"].items() if evidence is not None}
    assert set(got_through) == host.situation.open_attacks, got_through


def test_what_is_open_is_declared(host):
    residual = " ".join(host.hello["tier"]["residual"])
    assert ("sizes and times" in residual) == ("size of outside file" in host.situation.open_attacks)
    assert ("command lines" in residual) == ("key in command line of others" in host.situation.open_attacks)


def test_what_programs_need_still_works(host):
    broken = {name: failure for name, failure in host.attack()["needs"].items() if failure}
    assert broken == {}


def test_own_user_where_declared(host):
    uid = host.attack()["uid"]
    if host.hello["own_user"]:
        assert uid not in (0, 20001)


def test_the_attacks_are_real(unprotected_host):
    """Where nothing protects, they get through: otherwise the tests above would show nothing."""
    got_through = {name for name, evidence in unprotected_host.attack()["attacks"].items() if evidence is not None}
    assert got_through >= {
        "key in environment of others",
        "key in command line of others",
        "memory of host",
        "descriptors of host",
        "key file",
        "key file by symlink",
        "run directory written",
        "run record truncated",
        "run directory removed from",
        "mode of outside file",
        "times of outside file",
        "TCP to loopback",
        "UDP",
        "netlink",
        "abstract socket",
        "named socket",
        "named datagram socket",
        "ptrace",
        "signal to host",
        "signal to fork server",
        "signal to everyone",
        "priority of host",
        "affinity of host",
        "limits of host",
    }
