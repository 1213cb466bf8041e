"""Flags, environment and file: every spelling, every precedence, every refusal."""

import pytest

from sprawl.errors import SettingsError
from sprawl.settings import TABLE, Loaded, load, parse_flags
from sprawl.settings.table import IGNORED


def loaded(*argv: str, file: bytes = b"", **environment: str) -> Loaded:
    return load(parse_flags(argv), environment, lambda _: file)


def refusal(*argv: str, file: bytes = b"", **environment: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        loaded(*argv, file=file, **environment)
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    "argv",
    [
        ["-bindPort=7950"],
        ["-bindPort", "7950"],
        ["--bindPort=7950"],
        ["--bindPort", "7950"],
        ["--bind-port=7950"],
        ["-bind-port", "7950"],
        ["--bind_port", "7950"],
        ["-bindPort=0x1f0e"],
        ["-bindPort=1", "-bindPort=7950"],
    ],
)
def test_every_go_spelling_of_a_flag_is_taken(argv: list[str]) -> None:
    assert loaded(*argv).settings.bind_port == 7950


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
@pytest.mark.parametrize("form", ["-insecure={}", "--insecure={}", "-insecure {}"])
def test_a_true_boolean(text: str, form: str) -> None:
    assert loaded(*form.format(text).split()).settings.insecure is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
@pytest.mark.parametrize("form", ["-autoCreateTopics={}", "--auto-create-topics {}"])
def test_a_false_boolean(text: str, form: str) -> None:
    assert loaded(*form.format(text).split()).settings.auto_create_topics is False


def test_a_bare_boolean_is_true_and_takes_no_other_flag() -> None:
    settings = loaded("-insecure", "-bindPort=7950").settings
    assert (settings.insecure, settings.bind_port) == (True, 7950)


@pytest.mark.parametrize("row", TABLE.values(), ids=str)
def test_every_variable_of_a_setting_sets_it(row: object) -> None:
    from sprawl.settings import Setting

    assert isinstance(row, Setting)
    text = {
        "text": "x",
        "address": "10.0.0.1",
        "identity": "n1",
        "boolean": "false" if row.default else "true",
        "choice": row.choices[-1] if row.choices else "",
        "duration": "90s",
        "seeds": "a:1",
    }.get(row.kind, str(int(row.high or 9)) if row.kind == "integer" else "0.5")
    if row.name.endswith("_up_threshold"):
        text = "99" if row.high else "9999"
    for variable in row.variables:
        read = loaded(file=b"", **{variable: text}).settings
        assert read.origin(row.name).where == variable
        assert read.is_given(row.name)


def test_flag_goes_before_environment_before_file_before_default() -> None:
    file = b"bindPort = 3\nhttpPort = 3\nhealthPort = 3\n"
    read = loaded(
        "-bindPort=1", "-settings=f.toml", file=file, SPRAWL_BIND_PORT="2", SPRAWL_HTTP_PORT="2"
    ).settings
    assert (read.bind_port, read.http_port, read.health_port) == (1, 2, 3)
    assert str(read.origin("bind_port")) == "flag -bindPort"
    assert str(read.origin("http_port")) == "environment SPRAWL_HTTP_PORT"
    assert str(read.origin("health_port")) == "file f.toml: healthPort"
    assert str(read.origin("node_id")) == "default"


def test_the_first_variable_of_a_setting_wins() -> None:
    read = loaded(BIND_ADDR="10.0.0.2", SPRAWL_BIND_ADDR="10.0.0.1").settings
    assert read.bind_addr == "10.0.0.1"


def test_an_empty_value_is_not_given() -> None:
    read = loaded("-seeds=", "-bindPort=", SPRAWL_BIND_PORT="7950", SPRAWL_NODE_ID="").settings
    assert read.bind_port == 7950
    assert not read.is_given("seeds")
    assert not read.is_given("node_id")


def test_a_settings_file_takes_names_as_flags_do() -> None:
    file = b'bind_port = 1\n"http-port" = 2\nseeds = ["a:1", "b:2"]\ninsecure = true\n'
    read = loaded(SPRAWL_SETTINGS_FILE="f.toml", file=file).settings
    assert (read.bind_port, read.http_port, read.seeds) == (1, 2, ("a:1", "b:2"))
    assert read.insecure


@pytest.mark.parametrize(
    ("file", "part"),
    [
        (b"bindPrt = 1", "f.toml: bindPrt; did you mean bindPort?"),
        (b"bindPort = true", "f.toml: bindPort: a TOML bool is no integer"),
        (b"bindPort = [1]", "a TOML list is no integer"),
        (b"[cluster]\nx = 1", "unknown member f.toml: cluster"),
        (b"bindPort = 70000", "f.toml: bindPort: 70000 exceeds the maximum 65535"),
        (b"settings = 'g.toml'", "a settings file cannot name another one"),
        (b"bindPort =", "settings file f.toml: Invalid value"),
        (b"\xff", "settings file f.toml: "),
    ],
)
def test_a_bad_settings_file_is_refused(file: bytes, part: str) -> None:
    assert part in refusal("-settings=f.toml", file=file).detail


def test_a_settings_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"/no/such\.toml: No such file"):
        load(parse_flags(["-settings=/no/such.toml"]), {})


@pytest.mark.parametrize(
    ("argv", "detail"),
    [
        (["-htpPort=1"], "unknown flag -htpPort; did you mean -httpPort?"),
        (["--bindport=1"], "unknown flag -bindport; did you mean -bindPort?"),
        (["-qqqq"], "unknown flag -qqqq"),
        (["start"], "unexpected argument 'start'; settings are given as -name=value"),
        (["--"], "unexpected argument '--'; settings are given as -name=value"),
        (["---bindPort=1"], "unexpected argument '---bindPort=1'; settings are given as"),
        (["-bindPort"], "-bindPort: needs a value"),
        (["-bindPort=x"], "-bindPort: 'x' is not a whole number"),
        (["-bindPort=0"], "-bindPort: 0 is below the minimum 1"),
        (["-bindPort=65536"], "-bindPort: 65536 exceeds the maximum 65535"),
        (["-memoryMaxSize=1"], "-memoryMaxSize: 1 bytes is below the minimum 16777216 bytes"),
        (["-insecure=yes"], "-insecure: 'yes' is not a boolean; use 1, 0, t, f, true or false"),
        (["-storageType=tape"], "-storageType: 'tape' is none of memory, disk, s3"),
        (["-seeds=a:b"], "-seeds: 'a:b' is not a comma list of host:port"),
        (["-seeds=a:70000"], "-seeds: 'a:70000' is not a comma list of host:port"),
        (["-httpAddr=1.2.3.4:80"], "-httpAddr: '1.2.3.4:80' is not a host name or an IP address"),
        (["-drainTimeout=soon"], "-drainTimeout: 'soon' is not a duration such as"),
        (["-nodeId=a b"], "-nodeId: 'a b' holds more than letters, digits and _ . : -"),
        (["-dataDir=a\x1bb"], "-dataDir: 'a\\x1bb' holds a character that cannot be printed"),
    ],
)
def test_a_bad_flag_is_refused_by_one_line(argv: list[str], detail: str) -> None:
    assert refusal(*argv).detail.startswith(detail)


def test_a_secret_is_never_in_a_refusal() -> None:
    assert "hunter2" not in refusal("-s3SecretKey=hunter2\n").detail


def test_up_must_be_above_down() -> None:
    detail = refusal(SPRAWL_CPU_SCALE_UP_THRESHOLD="10").detail
    assert detail.startswith("SPRAWL_CPU_SCALE_UP_THRESHOLD: cpu_scale_up_threshold 10 must be")


@pytest.mark.parametrize("flag", ["-h", "-help", "--help", "--h"])
def test_help_is_asked_for(flag: str) -> None:
    assert parse_flags(["-bindPort=1", flag]).asks_help


def test_unknown_variables_of_ours_get_one_warning_each() -> None:
    warnings = loaded(SPRAWL_NOD_ID="a", SPRAWL_XYZZY="b", OTHER="c").warnings
    assert warnings == (
        "unknown variable SPRAWL_NOD_ID has no effect; did you mean SPRAWL_NODE_ID?",
        "unknown variable SPRAWL_XYZZY has no effect",
    )


@pytest.mark.parametrize(
    "variable",
    [
        "SPRAWL_SERVICE_HOST",
        "SPRAWL_SERVICE_PORT",
        "SPRAWL_LB_SERVICE_PORT_HTTP",
        "SPRAWL_PORT",
        "SPRAWL_PORT_8080_TCP_ADDR",
    ],
)
def test_what_kubernetes_injects_gets_no_warning(variable: str) -> None:
    assert loaded(**{variable: "tcp://10.0.0.1:8080"}).warnings == ()


def test_a_service_named_like_a_setting_does_not_set_it() -> None:
    read = loaded(SPRAWL_HTTP_PORT="tcp://10.0.0.1:80")
    assert read.settings.http_port == 8080
    assert "Kubernetes Service" in read.warnings[0]


@pytest.mark.parametrize("variable", IGNORED)
def test_a_variable_without_effect_gets_one_notice(variable: str) -> None:
    read = loaded(**{variable: "1"})
    assert [n.split(" ")[0] for n in read.notices] == [variable]
    assert read.warnings == ()


def test_a_setting_that_has_no_effect_yet_says_so_when_it_was_changed() -> None:
    assert loaded(SPRAWL_ADVERTISE_ADDR="").notices == ()
    assert loaded("-advertiseAddr=10.0.0.9").notices == (
        "-advertiseAddr has no effect: clusters are not in this version",
    )
