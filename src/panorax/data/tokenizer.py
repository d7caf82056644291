"""Tokenizers: bytes, characters, byte-level byte-pair encoding, and those of pretrained models.

A tokenizer has

    vocab_size            number of ids
    end                   id between documents
    ends                  ids that end generation
    encode(text)          -> ids
    prompt(text)          -> ids, preceded by the tokens that start a text
    decode(ids)           -> text
    to_json()             -> JSON that `from_json` reads
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from panorax.core.errors import UserError
from panorax.data import chat

END = "<|endoftext|>"


class Trained:
    """Base class of the tokenizers trained here, in which one end token separates documents."""

    @property
    def ends(self) -> tuple[int, ...]:
        return (self.end,)

    def prompt(self, text: str) -> list[int]:
        return [self.end, *self.encode(text)]


@dataclass(frozen=True)
class Bytes(Trained):
    """UTF-8 bytes as ids 0-255; every text can be encoded."""

    end: int = 256
    vocab_size: int = 257

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")

    def to_json(self) -> str:
        return json.dumps({"kind": "bytes"})


@dataclass(frozen=True)
class Characters(Trained):
    """Characters of the training text in the order of their code points.

    All other characters become the replacement character, which is always in the alphabet.
    """

    alphabet: str

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Characters":
        return cls("".join(sorted({c for text in texts for c in text} | {"�"})))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet) + 1

    @property
    def end(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        ids = {c: i for i, c in enumerate(self.alphabet)}
        return [ids.get(c, ids["�"]) for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.alphabet[i] for i in ids if i < len(self.alphabet))

    def to_json(self) -> str:
        return json.dumps({"kind": "characters", "alphabet": self.alphabet})


@dataclass(frozen=True)
class BytePairs(Trained):
    """Byte-level byte-pair encoding by the `tokenizers` library; every text can be encoded.

    Source: Sennrich et al. 2016; Radford et al. 2019.
    """

    library: object = field(repr=False)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BytePairs":
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        if vocab_size < 257:
            raise UserError(
                f"byte-pair encoding needs a vocabulary of at least 257, got {vocab_size}"
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END],
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        return self.library.get_vocab_size()

    @property
    def end(self) -> int:
        return self.library.token_to_id(END)

    def encode(self, text: str) -> list[int]:
        return self.library.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self.library.decode([int(i) for i in ids])

    def to_json(self) -> str:
        return json.dumps({"kind": "byte-pairs", "tokenizer": json.loads(self.library.to_str())})


@dataclass(frozen=True)
class Pretrained:
    """Tokenizer of a pretrained model.

    library: `Tokenizer` of a `tokenizer.json`.
    ends: ids that end generation.
    template: Jinja chat template, None if there is none.
    special: names and texts of special tokens for the template, such as ("bos_token", "<s>").
    """

    library: object = field(repr=False)
    ends: tuple[int, ...]
    template: str | None = None
    special: tuple[tuple[str, str], ...] = ()

    @property
    def end(self) -> int:
        return self.ends[0]

    @property
    def vocab_size(self) -> int:
        return max(self.library.get_vocab().values(), default=-1) + 1  # ids may have gaps

    def encode(self, text: str) -> list[int]:
        return self.library.encode(text, add_special_tokens=False).ids

    def prompt(self, text: str) -> list[int]:
        return self.library.encode(text).ids

    def chat(self, messages: Sequence[dict], tools: Sequence[dict] | None = None) -> list[int]:
        """Ids of a conversation up to the start of the assistant's answer.

        tools: JSON schemas of the functions that the model may call.
        Raises UserError if there is no template or the template refuses the conversation.
        """
        return self.encode(chat.render(self.template, messages, dict(self.special), tools))

    def conversation(self, messages: Sequence[dict]) -> tuple[list[int], list[bool]]:
        """Ids of a whole conversation, and True for each id of an answer of the assistant.

        Each part is encoded alone, as a prompt is before the model answers.
        Raises UserError if there is no template or the template refuses the conversation.
        """
        parts = chat.parts(self.template, messages, dict(self.special))
        pairs = [(i, part.is_answer) for part in parts for i in self.encode(part.text)]
        return [i for i, _ in pairs], [is_answer for _, is_answer in pairs]

    def decode(self, ids: Sequence[int]) -> str:
        return self.library.decode([int(i) for i in ids])

    def to_json(self) -> str:
        stored = {
            "kind": "pretrained",
            "ends": self.ends,
            "template": self.template,
            "special": self.special,
        }
        return json.dumps(stored | {"tokenizer": json.loads(self.library.to_str())})


def with_chat(tokens) -> Pretrained:
    """`tokens` with a chat template: their own, or `chat.TEMPLATE` with its tokens added.

    Raises UserError for bytes and characters, which have no tokens beyond their alphabet.
    """
    if isinstance(tokens, Pretrained) and tokens.template:
        return tokens
    if not hasattr(tokens, "library"):
        raise UserError(
            f"a {type(tokens).__name__} tokenizer has no tokens for a chat template; train with "
            "--data.tokenizer byte-pairs"
        )
    from tokenizers import AddedToken

    library = _read(tokens.library.to_str())
    library.add_special_tokens([AddedToken(text, normalized=False) for text in chat.TOKENS])
    special = {"bos_token": END} | dict(getattr(tokens, "special", ())) | {"eos_token": chat.END}
    ends = (library.token_to_id(chat.END), *tokens.ends)
    return Pretrained(library, ends, chat.TEMPLATE, tuple(sorted(special.items())))


TRAIN = {
    "bytes": lambda texts, vocab_size: Bytes(),
    "characters": lambda texts, vocab_size: Characters.train(texts),
    "byte-pairs": BytePairs.train,
}


def train(kind: str, texts: Sequence[str], vocab_size: int):
    """A tokenizer of `kind` trained on `texts`.

    Byte-pairs have at most `vocab_size` ids; all other kinds have as many ids as they need.
    """
    return TRAIN[kind](texts, vocab_size)


def from_json(text: str):
    """The tokenizer that `to_json` wrote."""
    stored = json.loads(text)
    read = lambda: _read(json.dumps(stored["tokenizer"]))
    return {
        "bytes": lambda: Bytes(),
        "characters": lambda: Characters(stored["alphabet"]),
        "byte-pairs": lambda: BytePairs(read()),
        "pretrained": lambda: Pretrained(
            read(), tuple(stored["ends"]), stored["template"], tuple(map(tuple, stored["special"]))
        ),
    }[stored["kind"]]()


def _read(text: str):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)
