"""Node ids."""

from uuid import UUID

from sprawl.model import node_id_of, short_id


def test_a_node_id_is_a_version_4_uuid_of_the_bytes_given() -> None:
    text = node_id_of(bytes(range(16)))
    assert UUID(text).version == 4
    assert text == str(UUID(text))
    assert short_id(text) == "00010203"
