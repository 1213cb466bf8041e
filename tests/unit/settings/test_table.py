"""The table of settings: whole, consistent, and what is derived from it."""

import re

import pytest

from sprawl.settings import TABLE, Settings, load, parse_flags
from sprawl.settings.show import changes, config_lines, effective_lines, help_lines
from sprawl.settings.table import IGNORED

ORIGINAL_FLAGS = """
bindAddr bindPort advertiseAddr httpAddr httpPort seeds storageType
diskStoragePath memoryMaxSize memoryToDiskAge diskToCloudAge s3Endpoint s3AccessKey s3SecretKey
s3Bucket maxConcurrentRequests settings insecure
"""

ORIGINAL_VARIABLES = """
SPRAWL_BIND_ADDR BIND_ADDR SPRAWL_BIND_PORT SPRAWL_ADVERTISE_ADDR
SPRAWL_HTTP_ADDR HTTP_ADDR SPRAWL_HTTP_PORT SPRAWL_HEALTH_PORT SPRAWL_CLUSTER_SEEDS SEEDS
SPRAWL_STORAGE_TYPE SPRAWL_STORAGE_DISK_ENABLED SPRAWL_DISK_STORAGE SPRAWL_STORAGE_DISK_PATH
SPRAWL_STORAGE_PATH SPRAWL_DATA_DIR SPRAWL_NODE_ID SPRAWL_STORAGE_MEMORY_MAX_SIZE
SPRAWL_STORAGE_MEMORY_TO_DISK_AGE SPRAWL_STORAGE_DISK_TO_CLOUD_AGE SPRAWL_STORAGE_DISK_MAX_SIZE
SPRAWL_STORAGE_CLOUD_ENABLED MINIO_ENDPOINT SPRAWL_S3_ENDPOINT MINIO_ACCESS_KEY MINIO_SECRET_KEY
SPRAWL_S3_ACCESS_KEY SPRAWL_S3_SECRET_KEY SPRAWL_STORAGE_CLOUD_BUCKET SPRAWL_S3_BUCKET MINIO_REGION
SPRAWL_S3_REGION SPRAWL_AI_CONFIG_FILE SPRAWL_CONFIG_FILE SPRAWL_CONFIG_RELOAD_INTERVAL
SPRAWL_SETTINGS_FILE SPRAWL_MAX_CONCURRENT_REQUESTS SPRAWL_ENABLE_AI SPRAWL_INSECURE
SPRAWL_CLUSTER_SECRET SPRAWL_CLUSTER_SECRET_FILE AI_DEBUG CLUSTER_REFRESH_INTERVAL
SPRAWL_RAFT_PORT SPRAWL_HTTP_PORT_VALIDATE POD_NAME POD_NAMESPACE SPRAWL_TEST_MODE
SPRAWL_LOG_PAYLOADS SPRAWL_CPU_SCALE_UP_THRESHOLD SPRAWL_CPU_SCALE_DOWN_THRESHOLD
SPRAWL_MEM_SCALE_UP_THRESHOLD SPRAWL_MEM_SCALE_DOWN_THRESHOLD SPRAWL_MSG_RATE_SCALE_UP_THRESHOLD
SPRAWL_MSG_RATE_SCALE_DOWN_THRESHOLD SPRAWL_MIN_CONFIDENCE_THRESHOLD
SPRAWL_ENABLE_DYNAMIC_ADJUSTMENT SPRAWL_ADJUSTMENT_FACTOR SPRAWL_LEARNING_RATE
SPRAWL_HYSTERESIS_PERCENT SPRAWL_BAD_THRESHOLD_DETECTION_ENABLED SPRAWL_BAD_THRESHOLD_DETECTION
SPRAWL_BAD_THRESHOLD_ADJUSTMENT_FACTOR
"""


def settings(*argv: str, **environment: str) -> Settings:
    return load(parse_flags(argv), environment).settings


@pytest.mark.parametrize("flag", ORIGINAL_FLAGS.split())
def test_every_flag_that_was_promised_is_there(flag: str) -> None:
    assert flag in {row.flag for row in TABLE.values()}


@pytest.mark.parametrize("variable", ORIGINAL_VARIABLES.split())
def test_every_variable_that_was_promised_is_there(variable: str) -> None:
    known = {name for row in TABLE.values() for name in row.variables}
    assert (variable in known) != (variable in IGNORED)


def test_no_spelling_and_no_variable_means_two_settings() -> None:
    spellings = [s for row in TABLE.values() for s in row.spellings]
    variables = [v for row in TABLE.values() for v in row.variables]
    assert len(spellings) == len(set(spellings))
    assert len(variables) == len(set(variables))


def test_every_default_is_what_its_own_text_means() -> None:
    for row in TABLE.values():
        if row.default not in ("", ()):
            text = row.show(row.default).strip('"')
            assert row.parse(text, row.key) == row.default


def test_the_directory_follows_the_cluster_port_the_base_or_the_path() -> None:
    assert settings("-bindPort=7950").directory == "./data/7950"
    assert settings(SPRAWL_DATA_DIR="/data/").directory == "/data/disk"
    assert settings("-diskStoragePath=/x", SPRAWL_DATA_DIR="/data").directory == "/x"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, "memory"),
        ({"SPRAWL_STORAGE_DISK_ENABLED": "true"}, "disk"),
        ({"SPRAWL_STORAGE_DISK_ENABLED": "false"}, "memory"),
        ({"SPRAWL_STORAGE_TYPE": "disk"}, "disk"),
        ({"SPRAWL_STORAGE_TYPE": "memory", "SPRAWL_STORAGE_DISK_ENABLED": "true"}, "memory"),
        ({"SPRAWL_STORAGE_CLOUD_ENABLED": "true"}, "s3"),
        ({"SPRAWL_STORAGE_TYPE": "s3"}, "s3"),
    ],
)
def test_the_storage_type_is_the_one_asked_for(environment: dict[str, str], asked: str) -> None:
    assert settings(**environment).storage_type_asked == asked


def test_print_config_shows_everything_and_masks_secrets() -> None:
    lines = config_lines(settings("-s3SecretKey=hunter2", SPRAWL_CLUSTER_SECRET="hunter3"))
    assert len(lines) == len(TABLE)
    text = "\n".join(lines)
    assert "hunter" not in text
    assert '# s3SecretKey = "***"  # flag -s3SecretKey' in lines
    assert "bindPort = 7946  # default" in lines


def test_what_print_config_shows_can_be_read_back() -> None:
    asked = settings("-bindPort=7950", "-seeds=a:1,b:2", "-drainTimeout=1500ms", '-dataDir=a"b')
    text = "\n".join(config_lines(asked)).encode()
    again = load(parse_flags(["-settings=f"]), {}, lambda _: text).settings
    assert changes(asked, again) == [(TABLE["settings"], '""', '"f"')]


def test_effective_settings_are_those_that_differ_with_their_origin() -> None:
    lines = effective_lines(settings("-bindPort=7946", "-httpPort=8087", MINIO_SECRET_KEY="x"))
    assert lines == [
        "httpPort=8087 (flag -httpPort)",
        's3SecretKey="***" (environment MINIO_SECRET_KEY)',
    ]


def test_the_help_names_every_flag_and_variable() -> None:
    text = "\n".join(help_lines())
    for row in TABLE.values():
        for word in (*([f"-{row.flag}"] if row.flag else []), *row.variables):
            assert re.search(rf"(?<!\S){re.escape(word)}(?![A-Za-z0-9_])", text), word
    assert max(map(len, help_lines())) <= 120
