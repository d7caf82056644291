"""Tokenizer, chat template and sampling of a Hugging Face folder."""

import reprlib
from pathlib import Path

from panorax.core.errors import UserError
from panorax.core.ranges import INT32
from panorax.data.readers import read_object
from panorax.data.tokenizer import END, Pretrained
from panorax.ops.sampling import Sampling


def tokenizer(directory: str | Path) -> Pretrained:
    """The tokenizer of a folder, with its end-of-text ids and its chat template.

    Raises UserError if tokenizer.json is missing or damaged, or if no file names an end of text.
    """
    directory = Path(directory)
    tokens = _library_tokenizer(directory / "tokenizer.json")
    config = read_object(directory / "tokenizer_config.json", optional=True)
    special = _special_tokens(config)
    ends = _ends(directory, tokens.token_to_id(special.get("eos_token", "")))
    template = _template(directory, config)
    return Pretrained(tokens, ends, template, tuple(sorted(special.items())))


def _library_tokenizer(path: Path):
    """The `tokenizers.Tokenizer` of a tokenizer.json, without truncation and padding."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise UserError(f"{path.parent} has no tokenizer.json; other tokenizer files are not read")
    try:
        tokens = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises a bare Exception
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    tokens.no_truncation()  # some files store truncation and padding
    tokens.no_padding()
    return tokens


def _special_tokens(config: dict) -> dict[str, str]:
    """Texts of the special tokens in tokenizer_config.json, by name."""
    texts = {
        name: x.get("content") if isinstance(x, dict) else x
        for name, x in config.items()
        if name.endswith("_token")
    }
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _ends(directory: Path, default: int | None) -> tuple[int, ...]:
    """End-of-text ids: of generation_config.json, else of config.json, else `default`."""
    ends = read_object(directory / "generation_config.json", optional=True).get("eos_token_id")
    ends = read_object(directory / "config.json").get("eos_token_id") if ends is None else ends
    ends = default if ends is None else ends
    ends = ends if isinstance(ends, list) else [ends]
    if not ends or not all(type(end) is int and 0 <= end <= INT32 for end in ends):
        raise UserError(
            f"{directory} defines no end-of-text token; "
            "generation_config.json needs an eos_token_id, an id or a list of ids"
        )
    return tuple(ends)


def settings(tokens) -> dict:
    """Special tokens and chat template of a tokenizer, as in tokenizer_config.json."""
    if isinstance(tokens, Pretrained):
        template = {"chat_template": tokens.template} if tokens.template else {}
        return dict(tokens.special) | template
    return {"bos_token": END, "eos_token": END}


def ids(tokens) -> dict[str, int]:
    """Ids of the tokens that start and pad a text, as in config.json."""
    if not isinstance(tokens, Pretrained):
        return {"bos_token_id": tokens.end}
    texts = dict(tokens.special)
    found = {
        name: tokens.library.token_to_id(texts.get(f"{name}_token", "")) for name in ("bos", "pad")
    }
    return {f"{name}_token_id": number for name, number in found.items() if number is not None}


def library(tokens):
    """A `tokenizers.Tokenizer` that encodes a text as `tokens.prompt` does."""
    if isinstance(tokens, Pretrained):
        return tokens.library
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokens.library.to_str())
    copy.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, tokens.end)]
    )
    return copy


PENALTIES = {"repetition_penalty": float, "no_repeat_ngram_size": int, "suppress_tokens": tuple}
FILTERS = {"temperature": float, "top_k": int, "top_p": float, "min_p": float}


def sampling(directory: str | Path) -> Sampling:
    """Sampling settings of generation_config.json; greedy without them, top-k 50 by default.

    Raises UserError if a setting is not a number or is out of range.
    """
    path = Path(directory) / "generation_config.json"
    config = read_object(path, optional=True)
    samples = bool(config.get("do_sample"))
    kinds = PENALTIES | (FILTERS if samples else {})
    default = {"top_k": 50} if samples else {"temperature": 0.0}
    given = {name: config[name] for name in kinds if config.get(name) is not None}
    try:
        return Sampling(
            **default | {name: _setting(name, x, kinds[name]) for name, x in given.items()}
        )
    except (UserError, OverflowError) as error:
        raise UserError(f"{path}: {error}") from error


def _setting(name: str, value, kind: type):
    """One setting as a number or a tuple of ids. Raises UserError for another type."""
    if kind is tuple:
        if not isinstance(value, list) or not all(type(x) is int for x in value):
            raise UserError(f"{name} must be a list of ids, got {reprlib.repr(value)}")
    elif type(value) not in (int, kind):
        raise UserError(f"{name} must be a number, got {reprlib.repr(value)}")
    return kind(value)


def sampling_settings(cfg: Sampling) -> dict:
    """The settings of generation_config.json that `sampling` reads as `cfg`."""
    names = [*PENALTIES, *(FILTERS if cfg.temperature else ())]
    values = {name: getattr(cfg, name) for name in names}
    kept = {name: x for name, x in values.items() if x != getattr(Sampling(), name)}
    top_k = {"top_k": cfg.top_k} if cfg.temperature else {}  # 50 is the default of transformers
    return {"do_sample": cfg.temperature > 0} | top_k | kept


def _template(directory: Path, config: dict) -> str | None:
    """The chat template: chat_template.jinja, else the default one of tokenizer_config.json."""
    path = directory / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = [x for x in template if isinstance(x, dict) and x.get("name") == "default"]
        template = named[0].get("template") if named else None
    if not isinstance(template, str | None):
        raise UserError(
            f"{directory / 'tokenizer_config.json'}: "
            "chat_template must be a text or a list of named texts"
        )
    return template
