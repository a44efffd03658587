"""Tokenizers and encoders of a few kilobytes, made without a network: one of each kind that video models use."""

from __future__ import annotations

from typing import Any

import tokenizers
from transformers import (
    ByT5Tokenizer,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GemmaTokenizer,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["CLIPImageProcessorPil", "SiglipImageProcessorPil"]

WIDTH = 16
"""Channels of every text encoder here."""


def clip_words(length: int = 12) -> CLIPTokenizer:
    """Every byte is a token; prompts are cut after `length` of them."""
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=length)


def clip_encoder(words: CLIPTokenizer, length: int = 12, width: int = WIDTH) -> CLIPTextModel:
    """One layer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=length,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


def t5_words(length: int = 64) -> T5Tokenizer:
    """Every printable ASCII character is a piece."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(chr(i), -3.0) for i in range(33, 127)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def t5_encoder(
    words: T5Tokenizer | ByT5Tokenizer, multilingual: bool = False, width: int = WIDTH
) -> T5EncoderModel | UMT5EncoderModel:
    """T5, or UMT5, which has positions of its own in every layer."""
    settings = {"vocab_size": len(words), "d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    if multilingual:
        return UMT5EncoderModel(UMT5Config(**settings))
    return T5EncoderModel(T5Config(**settings))


def llama_words(prefix: str, length: int, template: str | None = None) -> PreTrainedTokenizerFast:
    """Bytes; but the text that a pipeline puts before every prompt is `length` tokens, which it then cuts off."""
    letters = sorted(bytes_to_unicode().values())
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    words = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|pad|>", eos_token="<|end|>")
    # All after the first letters of that text is one token.
    words.add_tokens([tokenizers.AddedToken(prefix[length - 1 :], normalized=False, special=True)])
    words.chat_template = template
    assert len(words(prefix)["input_ids"]) == length
    return words


def llava_words(template: str, length: int) -> PreTrainedTokenizerFast:
    """As `llama_words`, before a prompt that is inside of a text; the picture's place there is one token."""
    before, after = template.split("{}")
    marks = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>", "system", "assistant"]
    words = llama_words("." * length, length)
    words.add_tokens([tokenizers.AddedToken(mark, normalized=False, special=True) for mark in marks])
    # The middle of what comes before is one token, so that all of it is as many as in the real vocabulary.
    start, end = template.index("Describe"), template.index("<|eot_id|>")
    rest = len(words(before[:start] + before[end:])["input_ids"])
    words.add_tokens([tokenizers.AddedToken(before[start + length - rest - 1 : end], normalized=False, special=True)])
    assert len(words(before)["input_ids"]) == length
    assert words(after)["input_ids"][-3:-2] == [words.convert_tokens_to_ids("<|end_header_id|>")]
    return words


def llava(words: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Sees a picture as 24 x 24 tokens, as the real one does."""
    text = llama_encoder(words).config
    eye = CLIPVisionConfig(**EYE, num_hidden_layers=2, image_size=96)
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=eye,
            text_config=text,
            image_token_index=words.convert_tokens_to_ids("<image>"),
            pad_token_id=words.pad_token_id,
        )
    )


def _decoder(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Three layers: pipelines take the output of the last but two."""
    return {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
    }


def llama_encoder(words: PreTrainedTokenizerFast) -> LlamaModel:
    """Of `_decoder`'s size."""
    return LlamaModel(LlamaConfig(**_decoder(words)))


def qwen_encoder(words: PreTrainedTokenizerFast) -> Qwen2_5_VLTextModel:
    """Of `_decoder`'s size."""
    positions = {"type": "default", "mrope_section": [1, 1, 2], "rope_type": "default"}
    return Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**_decoder(words), rope_scaling=positions))


def gemma_words() -> GemmaTokenizer:
    """Every printable ASCII character is a piece."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *(chr(i) for i in range(33, 127))]
    return GemmaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=1024)


def gemma_encoder(words: GemmaTokenizer) -> Gemma3ForConditionalGeneration:
    """Two layers; the part that looks at pictures is there because the class wants one."""
    text = {
        "vocab_size": len(words) + 4,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 2048,
    }
    vision = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 8,
        "patch_size": 4,
    }
    settings = {"text_config": text, "vision_config": vision, "mm_tokens_per_image": 1}
    return Gemma3ForConditionalGeneration(Gemma3Config(**settings, image_token_index=len(words)))


EYE = {"hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "patch_size": 4}


def clip_eye() -> CLIPVisionModel:
    """Looks at pictures of 16x16. The pipelines take the output of its last layer but one."""
    return CLIPVisionModel(CLIPVisionConfig(**EYE, num_hidden_layers=2, image_size=16))


def siglip_eye() -> SiglipVisionModel:
    """Looks at pictures of 8x8."""
    return SiglipVisionModel(SiglipVisionConfig(**EYE | {"hidden_size": 12}, num_hidden_layers=1, image_size=8))
