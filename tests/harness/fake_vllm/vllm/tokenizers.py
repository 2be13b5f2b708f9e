from typing import Any


def get_tokenizer(name: str, tokenizer_mode: str, **options: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, **options)
