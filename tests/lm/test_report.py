"""The prompts of the final samples."""

from panorax.lm.report import LENGTH, prompts


def test_prompts_start_lines_of_the_held_out_text():
    lines = [f"line {i} of a text that nobody trained on" for i in range(30)]
    starts = prompts(("\n".join(lines[:10]), "\n".join(lines[10:])))
    assert starts == ["", *(lines[i][:LENGTH] for i in (0, 10, 20))]
    assert prompts(("short\n", "text")) == ["", "short", "text"]
