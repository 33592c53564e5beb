"""The U-Net's calls, counted without attnscope."""

from contextlib import contextmanager

import torch


@contextmanager
def counted(pipe):
    """(timesteps of the U-Net's calls, updates of the progress bar) of what runs inside."""
    calls, updates, bar = [], [], pipe.progress_bar
    handle = pipe.unet.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(float(torch.as_tensor(args[1]).flatten()[0])),
        with_kwargs=True,
    )

    def watched_bar(*args, **kwargs):
        inner = bar(*args, **kwargs)
        update = inner.update
        inner.update = lambda n=1: (updates.append(n), update(n))
        return inner

    pipe.progress_bar = watched_bar
    try:
        yield calls, updates
    finally:
        handle.remove()
        del pipe.progress_bar
