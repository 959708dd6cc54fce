"""A streamed answer of an OpenAI-compatible server: when each of its tokens came, and whether all of them did.

Nothing of what it says is kept. Servers count their tokens in every message (vLLM, when asked), once at the end
(OpenAI), or not at all, and may send several in one message.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.reading import parse_json


@dataclass(slots=True)
class Answer:
    """What has come so far.

    Attributes:
        prompt_tokens: As the server counts them; None where it does not.
        cached_tokens: Of the prompt, found in its prefix cache, where it says so.
        output_tokens: As it counts them; None where it does not.
        finish_reason: Why it ended, in the server's word; None while it has not.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    _failed: bool = False
    _done: bool = False
    #: When each message came, and how many tokens the server had counted by then.
    _messages: list[tuple[float, int | None]] = field(default_factory=list)

    def take(self, line: bytes, now_s: float) -> None:
        """One line of the stream.

        Raises:
            ValueError, TypeError, AttributeError: It is of another form than OpenAI's.
        """
        if not line.startswith(b"data:"):
            return
        if line.endswith(b"[DONE]"):
            self._done = True
            return
        chunk = parse_json(line[5:])
        # An engine that dies says so in the stream, whose status was 200 long before.
        self._failed |= chunk.get("error") is not None
        usage = chunk.get("usage") or {}
        counted = usage.get("completion_tokens")
        if usage:
            self.output_tokens = None if counted is None else int(counted)
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            details = usage.get("prompt_tokens_details") or {}
            self.cached_tokens = details.get("cached_tokens", self.cached_tokens)
        for choice in chunk.get("choices") or ():
            reason = choice.get("finish_reason")
            self.finish_reason = reason or self.finish_reason
            # A last message without a word only says that it was the last.
            if counted is not None or choice.get("text") or not reason:
                self._messages.append((now_s, counted))

    @property
    def counted(self) -> bool:
        """Whether the number of tokens is known, and not taken to be that of the messages."""
        return self.output_tokens is not None or self.finish_reason == "length"

    def token_s(self, asked_tokens: int) -> list[float]:
        """When each token came: as counted in every message, else as many in each as in any other.

        Args:
            asked_tokens: How many were asked for: so many there are in an answer that ended at its length, whose server
                counts none.
        """
        stated = [count for _, count in self._messages]
        if None not in stated:
            counts = [int(count or 0) for count in stated]
        else:
            total = self.output_tokens
            if total is None:
                total = asked_tokens if self.finish_reason == "length" else len(stated)
            counts = [(number + 1) * total // len(stated) for number in range(len(stated))]
        found: list[float] = []
        for (at_s, _), count in zip(self._messages, counts, strict=True):
            found += [at_s] * (count - len(found))
        return found

    def is_whole(self, asked_tokens: int) -> bool:
        """Whether it ended as an answer does, with all of the tokens that its server counts."""
        tokens = len(self.token_s(asked_tokens))
        ended = self._done or self.finish_reason is not None
        return ended and not self._failed and tokens > 0 and self.output_tokens in {None, tokens}
