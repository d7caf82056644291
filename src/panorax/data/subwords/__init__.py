"""Subword tokenizers from first principles: byte-pair encoding and the unigram model.

They show how `panorax.data.tokenizer` works, which calls the faster `tokenizers` library.
"""
