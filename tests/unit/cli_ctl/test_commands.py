"""Commands as processes: what they print and how they end."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest

from tests.unit.client.flaky_server import FlakyServer, problem


@pytest.fixture
async def node() -> AsyncIterator[FlakyServer]:
    async with FlakyServer().serve() as server:
        yield server


async def ctl(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Runs ``sprawlctl``: (exit status, stdout, stderr)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sprawl.cli.ctl", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_publish_sends_one_payload_exactly(node: FlakyServer) -> None:
    status, out, err = await ctl("-n", node.url, "publish", "-t", "t", "-m", "Hello, World!")
    assert (status, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith("ID: ")
    assert last == "Published 1 messages (0 failures)"
    assert node.values("t") == [b"Hello, World!"]
    assert "ttl" not in json.loads(node.asked[0].body)


async def test_publish_numbers_several_payloads_and_goes_round_the_nodes(
    node: FlakyServer,
) -> None:
    async with FlakyServer().serve() as other:
        status, out, _ = await ctl(
            "publish", "-tt", "-mx", "-c", "3", "-P=2", "-n", f"{node.url},{other.url}"
        )
        assert status == 0
        assert out.splitlines()[-1] == "Published 6 messages (0 failures)"
        assert sorted(node.values("t")) == [b"x-0", b"x-2", b"x-4"]
        assert sorted(other.values("t")) == [b"x-1", b"x-3", b"x-5"]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("drop-after", "Connection error, retrying in 100ms... (1/5): "),
        (problem(503, "busy"), "Server busy, retrying in 100ms... (1/5)"),
        (problem(429, "too_many_requests"), "Server busy, retrying in 100ms... (1/5)"),
        (
            problem(504, "publish_timeout"),
            "Request timed out, retrying with longer timeout in 200ms... (1/5)",
        ),
    ],
    ids=["lost", "503", "429", "504"],
)
async def test_publish_tries_again_with_the_same_id(
    node: FlakyServer, failure: str, said: str
) -> None:
    node.script.append(failure)
    status, out, err = await ctl("publish", "-t", "t", "-n", node.url)
    assert status == 0
    assert err.startswith(said)
    assert len(node.values("t")) == 1
    ids = [json.loads(asked.body)["id"] for asked in node.asked]
    assert len(ids) == 2
    assert ids[0] == ids[1]
    assert out.splitlines()[0] == f"ID: {ids[0]}"


async def test_publish_waits_as_long_as_the_node_asks(node: FlakyServer) -> None:
    node.script.append(problem(429, "too_many_requests", retry_after="1"))
    _, _, err = await ctl("publish", "-n", node.url)
    assert err.startswith("Server busy, retrying in 1s... (1/5)")


async def test_publish_fails_at_once_on_other_statuses(node: FlakyServer) -> None:
    node.script.append(problem(413, "too_large"))
    status, out, _ = await ctl("publish", "-n", node.url)
    assert status == 1
    assert out.splitlines() == [
        f"Error: failed to publish to {node.url}: told to answer too_large",
        "Published 0 messages (1 failures)",
    ]
    assert len(node.asked) == 1


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [("topic_not_found", 404, 3), ("unauthenticated", 401, 4), ("bad_json", 400, 1)],
)
async def test_exit_statuses_tell_what_failed(
    node: FlakyServer, code: str, http: int, status: int
) -> None:
    node.script.append(problem(http, code))
    assert (await ctl("publish", "-n", node.url))[0] == status


async def test_pub_and_sub(node: FlakyServer) -> None:
    node.partitions["t"] = 1
    status, out, _ = await ctl("pub", "t", "-n", node.url, "-o", "json", stdin=b"from stdin")
    assert status == 0
    assert json.loads(out)["offset"] == 0
    status, out, _ = await ctl("pub", "t", "--lines", "-n", node.url, "-o=raw", stdin=b"a\nb\n")
    assert (status, out) == (0, "aaaaaaaaaaaao-0-1\naaaaaaaaaaaao-0-2\n")
    arguments = ("sub", "t", "--from", "earliest", "-e", "-n", node.url)
    assert await ctl(*arguments, "-o", "raw") == (0, "from stdin\na\nb\n", "")
    status, out, _ = await ctl(*arguments, "-o", "json", "--limit", "2")
    assert [message["payload"] for message in json.loads(out)] == ["from stdin", "a"]
    status, out, _ = await ctl(*arguments)
    assert out.splitlines()[1] == "[t/0@1] a"


async def test_sub_of_no_topic_is_not_found(node: FlakyServer) -> None:
    status, out, err = await ctl("sub", "none", "-n", node.url)
    assert (status, out) == (3, "")
    assert err == "sprawlctl: told to answer topic_not_found\n"


async def test_an_interrupt_ends_a_following_read_with_130(node: FlakyServer) -> None:
    node.partitions["t"] = 1
    node.append("t", b"one")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sprawl.cli.ctl", "sub", "t", "--from=earliest", "-n", node.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"[t/0@0] one\n"
    process.send_signal(2)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


async def test_a_closed_pipe_is_silence(node: FlakyServer) -> None:
    node.partitions["t"] = 1
    node.append("t", *[b"%d" % n for n in range(5_000)])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sprawl.cli.ctl", "sub", "t", "--from=earliest", "-n", node.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=256,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


@pytest.mark.parametrize("name", ["pull", "subscription", "dlq", "cluster", "ai"])
async def test_commands_of_later_versions_say_so(name: str) -> None:
    status, _, err = await ctl(name)
    assert status == 2
    assert f'command "{name}" is not in this version' in err


@pytest.mark.parametrize("arguments", [["nope"], ["publish", "--nope"], ["publish", "-c", "0"]])
async def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert (await ctl(*arguments))[0] == 2


async def test_help_lists_what_there_is() -> None:
    status, out, _ = await ctl("help")
    assert status == 0
    assert "publish" in out
    assert "dlq" not in out
    assert (await ctl("help", "topic", "ls"))[1].startswith("Usage: sprawlctl topic ls")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
async def test_completion_scripts(shell: str) -> None:
    status, out, _ = await ctl("completion", shell)
    assert status == 0
    assert "_SPRAWLCTL_COMPLETE" in out


async def test_the_commands_start_without_the_drawing_library() -> None:
    code = "import sprawl.cli.ctl, sys; assert not {'rich', 'uvloop'} & set(sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
