"""Subword tokenizers from first principles: byte-pair encoding and the unigram model.

They show how the tokenizers of `panorax.data.tokenizer` work, whose library is faster.
"""
