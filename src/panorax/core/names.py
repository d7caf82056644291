"""Suggestions for misspelt names, and for options that other libraries call differently."""

import difflib

# Names of options in other libraries (nanoGPT, transformers, CleanRL, ...), and their names here.
MEANT = {
    "--optim.peak-lr": ("lr", "learning-rate", "max-lr", "base-lr", "alpha"),
    "--optim.final-lr": ("min-lr", "lr-end"),
    "--optim.warmup": ("warm-up", "warmup-steps", "warmup-iters", "num-warmup-steps"),
    "--optim.weight-decay": ("wd", "l2"),
    "--optim.clip": ("grad-clip", "clip-grad", "max-grad-norm", "gradient-clip"),
    "--optim.b1": ("beta1", "adam-beta1"),
    "--optim.b2": ("beta2", "adam-beta2"),
    "--optim": ("optimizer", "optimiser", "opt"),
    "--run.steps": (
        "steps",
        "epochs",
        "epoch",
        "num-epochs",
        "num-train-epochs",
        "iters",
        "iterations",
        "max-steps",
        "max-iters",
        "num-steps",
        "total-timesteps",
    ),
    "--run.seed": ("seed", "random-seed"),
    "--run.eval-every": ("eval-interval", "eval-steps", "eval-freq"),
    "--run.save-every": ("save-interval", "save-steps", "checkpoint-every", "save-freq"),
    "--batch": ("batch-size", "bs", "per-device-train-batch-size"),
    "--accumulate": ("grad-accum", "gradient-accumulation-steps"),
    "--context": ("block-size", "seq-len", "sequence-length", "max-length", "max-seq-len"),
    "--data.path": ("data", "dataset", "data-dir", "data-path", "train-file", "input", "corpus"),
    "--model.n-layers": ("layers", "n-layer", "num-layers", "num-hidden-layers", "depth"),
    "--model.n-heads": ("heads", "n-head", "num-heads", "num-attention-heads"),
    "--model.d-model": ("dim", "n-embd", "hidden-size", "embed-dim", "width"),
    "--model.vocab": ("vocab", "vocab-size"),
    "--model.dtype": ("dtype", "precision", "bf16", "fp16", "mixed-precision"),
    "--environment": ("env", "env-id", "env-name", "gym-id"),
    "--n-envs": ("num-envs",),
    "--length": ("n-steps", "rollout-length"),
    "--epochs": ("update-epochs", "n-epochs"),
    "--minibatches": ("num-minibatches",),
    "--discount": ("gamma",),
    "--gae-lambda": ("lambda", "lam"),
    "--clip": ("clip-coef", "clip-range", "clip-eps"),
    "--entropy-weight": ("ent-coef", "entropy-coef"),
    "--value-weight": ("vf-coef", "value-coef"),
    "--workdir": ("output-dir", "out-dir", "out", "output", "outdir", "logdir", "run-dir", "dir"),
    "--resume": ("continue", "restore", "checkpoint", "ckpt", "load"),
    "--init-from": ("pretrained", "model-name-or-path", "finetune", "weights"),
    "--mesh": ("gpus", "devices", "n-gpus", "num-devices", "num-gpus"),
    "--smoke": ("debug", "quick", "dry-run", "fast"),
    "--tokens": ("max-new-tokens", "max-tokens", "num-tokens", "n-tokens"),
    "--prompt": ("text", "start"),
}


def nearest(name: str, known) -> str:
    """The text `; did you mean 'x'?` if a known name is similar, else an empty text.

    Upper and lower case are the same.
    """
    spelt = {x.lower(): x for x in known}
    close = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.5)
    return f"; did you mean {spelt[close[0]]!r}?" if close else ""


def nearest_option(option: str, known) -> str:
    """Like `nearest` for an option such as `--lr`.

    An option of another name in other libraries comes first, then an option whose last part is
    `option`, such as `--run.chunk` for `--chunk`, then a similar one.
    """
    word = option.strip("-")
    last = word.rpartition(".")[2]
    meant = [name for name, words in MEANT.items() if last in words and name in known]
    same = [name for name in known if name.lstrip("-").rpartition(".")[2] == last]
    return nearest(next(iter([*meant, *same]), option), known)
