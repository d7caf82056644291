"""The tokenizer, chat template and sampling of a Hugging Face folder."""

from pathlib import Path

from panorax.core.data import read_object
from panorax.core.errors import UserError
from panorax.lm.tokenizer import END, Pretrained
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
    said = read_object(directory / "tokenizer_config.json", optional=True)
    texts = {name: x["content"] if isinstance(x, dict) else x for name, x in said.items() if name.endswith("_token") and isinstance(x, (str, dict))}
    ends = read_object(directory / "generation_config.json", optional=True).get("eos_token_id")
    ends = read_object(directory / "config.json").get("eos_token_id") if ends is None else ends
    ends = tokens.token_to_id(texts.get("eos_token", "")) if ends is None else ends
    if ends is None or ends == []:
        raise UserError(f"{directory} does not say which token ends a text: generation_config.json needs eos_token_id")
    return Pretrained(tokens, (ends,) if isinstance(ends, int) else tuple(ends), _template(directory, said), tuple(sorted(texts.items())))


def settings(tokens) -> dict:
    """What tokenizer_config.json says of a tokenizer."""
    if isinstance(tokens, Pretrained):
        return dict(tokens.special) | ({"chat_template": tokens.template} if tokens.template else {})
    return {"bos_token": END, "eos_token": END}


def library(tokens):
    """The tokenizer as one of the `tokenizers` library, which puts before a text what `tokens.prompt` puts there."""
    if isinstance(tokens, Pretrained):
        return tokens.library
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokens.library.to_str())
    copy.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, tokens.end)])
    return copy


def sampling(directory: Path) -> Sampling:
    """How the folder says that text is to be drawn; greedy where it says nothing."""
    said = read_object(directory / "generation_config.json", optional=True)
    if not said.get("do_sample"):
        return Sampling(temperature=0.0)
    names = ("temperature", "top_k", "top_p", "min_p")
    return Sampling(**{"top_k": 50} | {name: said[name] for name in names if said.get(name) is not None})


def _template(directory: Path, said: dict) -> str | None:
    """The chat template: a file of its own, or a text or a list of named ones in tokenizer_config.json."""
    if (directory / "chat_template.jinja").is_file():
        return (directory / "chat_template.jinja").read_text(encoding="utf-8")
    template = said.get("chat_template")
    if isinstance(template, list):
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
    return template
