"""A prompt as a message in the model's own form, for models that were tuned on conversations.

The question is the user's message. The answer's first words stand at the beginning of the model's own, so that a
score is spelled as it is without a conversation.
"""

from __future__ import annotations

from typing import Any

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2.prompts import Prompting

CHOICES = ("auto", "on", "off")


def chat_wanted(tokenizer: Any, choice: str) -> bool:
    """Whether prompts become messages; ``auto`` says yes where the model has a form of its own for them.

    Raises:
        InputError: the model has none, or its own fails.
    """
    has_one = getattr(tokenizer, "chat_template", None) is not None
    if choice == "off" or (choice == "auto" and not has_one):
        return False
    if not has_one:
        raise InputError(
            "--chat: on needs a tokenizer with a chat template, which this model's lacks; take auto or off"
        )
    try:
        _begun(tokenizer, "question", "answer")
    except Exception as error:  # A template is a program of whoever made the model.
        cause = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"--chat: the model's chat template fails: {cause}; take --chat off") from None
    return True


def chat_tokens(tokenizer: Any, prompt: str, how: Prompting) -> list[int]:
    """The tokens of a prompt as a message; of one that is too long, the beginning of the question is cut off."""
    question = prompt.removesuffix(f"\n{how.answer}")
    while True:
        begun = _begun(tokenizer, question, how.answer)
        found: list[int] = tokenizer(begun, add_special_tokens=False)["input_ids"]
        if len(found) <= how.tokens or not question:
            return found[-how.tokens :]
        question = question[max(1, len(question) * (len(found) - how.tokens) // len(found)) :]


def _begun(tokenizer: Any, question: str, answer: str) -> str:
    message = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)) + answer
