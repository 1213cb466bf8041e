"""What asks for a tier or a cluster is refused; what asks for nothing is not."""

import pytest

from sprawl.errors import SettingsError
from sprawl.node.not_in_version import is_address_here, require_available
from sprawl.settings import load, parse_flags


def require(*argv: str, **environment: str) -> None:
    settings = load(parse_flags(argv), environment).settings
    require_available(settings, lambda host: host in ("127.0.0.1", "sprawl1"))


@pytest.mark.parametrize(
    ("argv", "environment", "what"),
    [
        (["-seeds=127.0.0.1:7947"], {}, "-seeds=127.0.0.1:7947: joining a cluster is not in this"),
        (["-seeds=127.0.0.1:7946,b:7946"], {}, "-seeds=b:7946: joining a cluster"),
        (
            [],
            {"SPRAWL_CLUSTER_SEEDS": "sprawl2:7946"},
            "SPRAWL_CLUSTER_SEEDS=sprawl2:7946: joining",
        ),
    ],
)
def test_what_is_not_there_is_refused(
    argv: list[str], environment: dict[str, str], what: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        require(*argv, **environment)
    assert caught.value.code == "not_in_version"
    assert caught.value.detail.startswith(what) or what in caught.value.detail
    assert "not in this version" in caught.value.detail


@pytest.mark.parametrize(
    ("argv", "environment"),
    [
        ([], {}),
        ([], {"SPRAWL_STORAGE_DISK_ENABLED": "false"}),
        ([], {"SPRAWL_STORAGE_DISK_ENABLED": "true"}),
        ([], {"SPRAWL_DISK_STORAGE": "1"}),
        (["-storageType=disk"], {}),
        (["-storageType=memory"], {"SPRAWL_STORAGE_DISK_ENABLED": "true"}),
        (["-diskStoragePath=/x", "-memoryToDiskAge=60", "-diskToCloudAge=60"], {}),
        ([], {"SPRAWL_STORAGE_DISK_MAX_SIZE": "5", "SPRAWL_STORAGE_DISK_PATH": "/x"}),
        (["-seeds=127.0.0.1:7946"], {}),
        (["-seeds=sprawl1:7946"], {}),
        (["-seeds=10.0.0.9:7946", "-advertiseAddr=10.0.0.9"], {}),
        (["-seeds="], {"SPRAWL_CLUSTER_SEEDS": ""}),
    ],
)
def test_what_asks_for_nothing_is_not_refused(argv: list[str], environment: dict[str, str]) -> None:
    require(*argv, **environment)


def test_an_address_of_this_machine_is_told_from_others() -> None:
    assert is_address_here("127.0.0.1")
    assert is_address_here("localhost")
    assert not is_address_here("192.0.2.1")
    assert not is_address_here("no.such.invalid")
