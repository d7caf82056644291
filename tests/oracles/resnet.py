"""torchvision's ResNet written in torch, with the same layers and names.

torchvision itself needs a build that matches torch. Each case holds logits and gradients in
training mode, running statistics afterwards, and logits in evaluation mode, all in float64.
Parameters and statistics differ from their initial values. Two cases hold parameter counts of
published networks.
"""

import numpy as np
import torch
from case import Arrays, named, normal, scales, settings, vjp
from torch import nn
from torch.func import functional_call

GROUP = "torch"
PACKAGES = ("torch",)
CLASSES = 5
TINY = {
    "basic": {"block": "basic", "widths": (3, 4), "blocks": (3, 1), "stem": "small"},
    "bottleneck": {"block": "bottleneck", "widths": (2, 3), "blocks": (1, 2), "stem": "imagenet"},
}
PUBLISHED = {"resnet18": ("basic", (2, 2, 2, 2)), "resnet50": ("bottleneck", (3, 4, 6, 3))}


class Block(nn.Module):
    """BasicBlock or Bottleneck; a bottleneck has its stride in the 3x3 convolution."""

    def __init__(self, kind: str, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = width * (4 if kind == "bottleneck" else 1)
        layers = {
            "basic": ((3, inputs, width, stride), (3, width, width, 1)),
            "bottleneck": (
                (1, inputs, width, 1),
                (3, width, width, stride),
                (1, width, outputs, 1),
            ),
        }[kind]
        self.depth = len(layers)
        for i, (kernel, before, after, step) in enumerate(layers, 1):
            conv = nn.Conv2d(before, after, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = x
        for i in range(1, self.depth + 1):
            out = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(out))
            out = out.relu() if i < self.depth else out
        return (out + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    """The whole network; the stem "small" is the usual one for 32x32 images."""

    def __init__(self, block: str, widths, blocks, stem: str, classes: int):
        super().__init__()
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem == "imagenet" else nn.Identity()
        inputs, expansion = widths[0], 4 if block == "bottleneck" else 1
        self.depth = len(widths)
        for i, (width, n) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for j in range(n):
                stage.append(Block(block, inputs, width, 2 if i > 0 and j == 0 else 1))
                inputs = width * expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for i in range(1, self.depth + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))


def drawn(rng: np.random.RandomState, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("running_var"):
        return rng.uniform(0.5, 2.0, shape).astype(np.float32)
    if len(shape) == 1:
        norm = name.endswith("weight")
        return scales(rng, *shape) if norm else normal(rng, *shape, std=0.2)
    return normal(rng, *shape, std=np.prod(shape[1:]) ** -0.5)


def compared(sizes: dict, rng: np.random.RandomState) -> Arrays:
    model = ResNet(**sizes, classes=CLASSES).double()
    image = normal(rng, 3, 3, 11, 14)
    weights = {name: drawn(rng, name, tuple(w.shape)) for name, w in model.named_parameters()}
    running = {
        name: drawn(rng, name, tuple(x.shape))
        for name, x in model.named_buffers()
        if "running" in name
    }
    after = {}

    def training(image, **w):
        after.update({name: torch.tensor(x, dtype=torch.float64) for name, x in running.items()})
        return functional_call(model.train(), {**w, **after}, (image,))

    gradients = vjp(training, {"image": image, **weights}, rng)
    double = {name: torch.tensor(x).double() for name, x in {**weights, **running}.items()}
    with torch.no_grad():
        evaluated = functional_call(model.eval(), double, (torch.tensor(image).double(),))
    return {
        **settings(**sizes),
        **gradients,
        **{f"running/{name}": x for name, x in running.items()},
        **{f"after/{name}": x.numpy() for name, x in after.items()},
        "evaluated": evaluated.numpy(),
    }


def generate() -> Arrays:
    rng, arrays = np.random.RandomState(16), {}
    for name, sizes in TINY.items():
        arrays |= named(name, compared(sizes, rng))
    for name, (block, blocks) in PUBLISHED.items():
        sizes = {"block": block, "widths": (64, 128, 256, 512), "blocks": blocks}
        with torch.device("meta"):
            model = ResNet(**sizes, stem="imagenet", classes=1000)
        count = sum(p.numel() for p in model.parameters())
        arrays |= named(name, settings(parameters=count, **sizes))
    return arrays
