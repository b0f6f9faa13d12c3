"""AdamW of torch without torch's compiler, which its optimizers load at their first use.

Loading the compiler (`torch._dynamo`) takes more than a second of CPU time in the process of each agent, and
nothing here is compiled. The arithmetic is that of `torch.optim.AdamW`, to the last bit.
"""

import inspect

import torch
from torch.optim.optimizer import Optimizer


class AdamW(torch.optim.AdamW):
    """AdamW (arXiv:1711.05101) that is never compiled.

    torch wraps these methods so that its compiler leaves them out; each wrapper loads the compiler first.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
