"""Embeddings of prompts, kept while a model is warm: a clip with another picture or size need not read them again."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

KEPT = 64
"""Embeddings kept: two a clip, of which the negative prompt's is mostly the same."""

Plain = str | int | float | bool | None


class Prompts:
    """What a pipeline's own `encode_prompt` gave, by its arguments."""

    def __init__(self, most: int = KEPT) -> None:
        self.most = most
        self._known: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forget them all."""
        self._known.clear()

    @contextmanager
    def remembered(self, pipe: Any) -> Iterator[None]:
        """Within: `pipe.encode_prompt` answers from memory what it was asked before. One thread at a time."""
        ask = getattr(pipe, "encode_prompt", None)
        if ask is None:
            yield
            return
        signature = inspect.signature(ask)

        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs).arguments
            if not all(_plain(value) for name, value in bound.items() if name not in ("device", "dtype")):
                return ask(*args, **kwargs)
            key = (type(pipe).__name__, *((name, repr(value)) for name, value in bound.items()))
            if key not in self._known:
                self._known[key] = ask(*args, **kwargs)
                while len(self._known) > self.most:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]

        own = vars(pipe).get("encode_prompt")  # not its class's: somebody else's wrapping
        pipe.encode_prompt = encode_prompt
        try:
            yield
        finally:
            if own is None:
                del pipe.encode_prompt
            else:
                pipe.encode_prompt = own


def _plain(value: Any) -> bool:
    """Is it said in full by its text? Tensors and pictures are not."""
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, Plain)
