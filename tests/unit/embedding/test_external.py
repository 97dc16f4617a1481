import pytest

from tiny_dancer.embedding.external import ExternalProvider
from tiny_dancer.errors import InvalidArgumentError, NotReadyError


def test_refuses_text_and_says_what_to_do():
    provider = ExternalProvider(1536)
    assert provider.dimension == 1536
    for embed in (lambda: provider.embed("text"), lambda: provider.embed_batch(["text"])):
        with pytest.raises(NotReadyError, match='model "external" cannot embed text') as caught:
            embed()
        assert "1536" in caught.value.detail
        assert "embedding" in caught.value.hint


def test_needs_a_dimension():
    with pytest.raises(InvalidArgumentError, match="dimension must be at least 1, not 0"):
        ExternalProvider(0)
