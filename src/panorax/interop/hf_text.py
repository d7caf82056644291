"""The tokenizer, chat template and sampling of a Hugging Face folder."""

import reprlib
from pathlib import Path

from panorax.core.errors import UserError
from panorax.core.ranges import INT32
from panorax.data.readers import read_object
from panorax.data.tokenizer import END, Pretrained
from panorax.ops.sampling import Sampling


def tokenizer(directory: Path) -> Pretrained:
    """Its tokenizer, with the ids that end a text and the chat template. Raises UserError where it has no tokenizer.json or nothing ends a text."""
    from tokenizers import Tokenizer

    path = directory / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{directory} has no tokenizer.json; other tokenizer files are not read")
    try:
        tokens = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises a bare Exception
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    tokens.no_truncation()  # settings of the last use that some files keep
    tokens.no_padding()
    said = read_object(directory / "tokenizer_config.json", optional=True)
    texts = {
        name: x.get("content") if isinstance(x, dict) else x
        for name, x in said.items()
        if name.endswith("_token")
    }
    texts = {name: text for name, text in texts.items() if isinstance(text, str)}
    ends = read_object(directory / "generation_config.json", optional=True).get("eos_token_id")
    ends = read_object(directory / "config.json").get("eos_token_id") if ends is None else ends
    ends = tokens.token_to_id(texts.get("eos_token", "")) if ends is None else ends
    ends = ends if isinstance(ends, list) else [ends]
    if not ends or not all(type(end) is int and 0 <= end <= INT32 for end in ends):
        raise UserError(
            f"{directory} does not say which token ends a text: generation_config.json needs an eos_token_id, or a list of them"
        )
    return Pretrained(tokens, tuple(ends), _template(directory, said), tuple(sorted(texts.items())))


def settings(tokens) -> dict:
    """What tokenizer_config.json says of a tokenizer."""
    if isinstance(tokens, Pretrained):
        return dict(tokens.special) | (
            {"chat_template": tokens.template} if tokens.template else {}
        )
    return {"bos_token": END, "eos_token": END}


def library(tokens):
    """The tokenizer as one of the `tokenizers` library, which puts before a text what `tokens.prompt` puts there."""
    if isinstance(tokens, Pretrained):
        return tokens.library
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokens.library.to_str())
    copy.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, tokens.end)]
    )
    return copy


def sampling(directory: Path) -> Sampling:
    """How the folder says that text is to be drawn; greedy where it says nothing."""
    said = read_object(directory / "generation_config.json", optional=True)
    if not said.get("do_sample"):
        return Sampling(temperature=0.0)
    kinds = {"temperature": float, "top_k": int, "top_p": float, "min_p": float}
    said = {"top_k": 50} | {name: said[name] for name in kinds if said.get(name) is not None}
    try:
        if wrong := [name for name, x in said.items() if type(x) not in (int, kinds[name])]:
            raise UserError(f"{wrong[0]} must be a number, got {reprlib.repr(said[wrong[0]])}")
        return Sampling(**{name: kinds[name](x) for name, x in said.items()})
    except (UserError, OverflowError) as error:
        raise UserError(f"{directory / 'generation_config.json'}: {error}") from error


def _template(directory: Path, said: dict) -> str | None:
    """The chat template: a file of its own, or a text or a list of named ones in tokenizer_config.json."""
    path = directory / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from error
    template = said.get("chat_template")
    if isinstance(template, list):
        template = next(
            (
                entry.get("template")
                for entry in template
                if isinstance(entry, dict) and entry.get("name") == "default"
            ),
            None,
        )
    if not isinstance(template, str | None):
        raise UserError(
            f"{directory / 'tokenizer_config.json'}: chat_template must be a text, or a list of named ones"
        )
    return template
