"""Endpoints as people write them."""

import pytest

from sprawl.errors import SettingsError
from sprawl.log.cloud.place import StorePlace, parse_place


def _parse(endpoint: str, bucket: str = "sprawl-messages", secret: str = "s3cr3t") -> StorePlace:
    return parse_place(
        endpoint, bucket=bucket, region="us-east-1", access_key="k3y", secret_key=secret
    )


@pytest.mark.parametrize(
    ("endpoint", "host", "is_secure", "shown"),
    [
        ("http://minio:9000", "minio:9000", False, "http://minio:9000"),
        ("minio:9000", "minio:9000", False, "http://minio:9000"),
        ("localhost", "localhost", False, "http://localhost"),
        ("https://s3.example.org/", "s3.example.org", True, "https://s3.example.org"),
        ("HTTPS://s3.example.org", "s3.example.org", True, "https://s3.example.org"),
        ("http://[::1]:9000", "[::1]:9000", False, "http://[::1]:9000"),
        ("10.0.0.1:80", "10.0.0.1:80", False, "http://10.0.0.1:80"),
    ],
)
def test_an_s3_endpoint(endpoint: str, host: str, is_secure: bool, shown: str) -> None:
    place = _parse(endpoint)
    assert (place.host, place.is_secure, place.shown) == (host, is_secure, shown)
    assert not place.folder


@pytest.mark.parametrize(
    ("endpoint", "folder"),
    [("file:///srv/cold", "/srv/cold"), ("file://localhost/a%20b", "/a b")],
)
def test_a_directory_needs_no_keys(endpoint: str, folder: str) -> None:
    place = parse_place(endpoint, bucket="sprawl-messages", region="us-east-1")
    assert (place.folder, place.host) == (folder, "")


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("", "set MINIO_ENDPOINT"),
        ("ftp://host", "begins with none of"),
        ("http://", "is no http"),
        ("http://host/path", "a path is not taken"),
        ("http://host:0", "no port from 1 to 65535"),
        ("http://host:99999", "no port"),
        ("http://host:9000?x=1", "is no http"),
        ("host name:9000", "is no http"),
        ("file://relative/path", "is no file:///"),
        ("file://", "is no file:///"),
        ("http://user:s3cr3t@host:9000", "must not hold keys"),
    ],
)
def test_what_is_no_endpoint_is_one_line(endpoint: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        _parse(endpoint)
    assert "\n" not in caught.value.detail
    assert "s3cr3t" not in caught.value.detail
    assert caught.value.location == "MINIO_ENDPOINT"


@pytest.mark.parametrize(
    "bucket", ["", "ab", "Upper", "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "a" * 64, "a/b"]
)
def test_a_bucket_that_s3_would_refuse(bucket: str) -> None:
    with pytest.raises(SettingsError, match="bucket"):
        _parse("minio:9000", bucket)


def test_without_keys_there_is_no_s3() -> None:
    with pytest.raises(SettingsError, match="needs keys") as caught:
        _parse("minio:9000", secret="")
    assert caught.value.location == "MINIO_SECRET_KEY"


def test_keys_are_not_shown() -> None:
    shown = repr(_parse("minio:9000"))
    assert "s3cr3t" not in shown
    assert "k3y" not in shown
