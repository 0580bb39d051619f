"""Parts of newer nets for tables, each of which can be put into ours: what benchmarks/nets_sales.py and nets_adult.py compare.

Periodic and piecewise-linear embeddings of numbers: Gorishniy et al., 2022. Heads that share a net: TabM, Gorishniy et al., 2024.
Robust scaling, learnt scales, sloped activations, the cosine-logarithm schedule: RealMLP, Holzmüller et al., 2024.
"""
import math

import torch
from torch import nn

from course_lib.layers import SigmoidRange
from course_lib.tabular.model import TabularModel, get_emb_sz, look_up

of_part = dict(periodic=dict(front='periodic'), piecewise=dict(front='piecewise'), robust=dict(robust=True), scales=dict(scales=True),
               coslog=dict(coslog=True), heads=dict(heads=8),
               together=dict(front='periodic', robust=True, scales=True, coslog=True, layers=[256] * 3, ps=.15))


class Periodic(nn.Module):
    "Each number beside three linear combinations of 16 cosines of it (PBLD)."
    def __init__(self, n, freqs=16, out=3, spread=.1):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(n, freqs) * spread), nn.Parameter((torch.rand(n, freqs) * 2 - 1) * math.pi)
        self.mix, self.bias = nn.Parameter((torch.rand(n, freqs, out) * 2 - 1) * freqs**-.5), nn.Parameter(torch.zeros(n, out))
        self.n_out = n * (out + 1)
    def forward(self, x):
        waves = torch.cos(2 * math.pi * x[:, :, None] * self.w + self.b)
        return torch.cat([x, (torch.einsum('bnf,nfo->bno', waves, self.mix) + self.bias).flatten(1)], 1)


class Piecewise(nn.Module):
    "How far each number has come through each of 16 bins with equally many training rows, then a linear layer for each."
    def __init__(self, x, bins=16, out=4):
        super().__init__()
        edges = torch.quantile(x, torch.linspace(0, 1, bins + 1), dim=0).T.contiguous()
        self.register_buffer('low', edges[:, :-1])
        self.register_buffer('width', (edges[:, 1:] - edges[:, :-1]).clamp(min=1e-6))
        self.mix, self.bias = nn.Parameter((torch.rand(len(edges), bins, out) * 2 - 1) * bins**-.5), nn.Parameter(torch.zeros(len(edges), out))
        self.n_out = len(edges) * (out + 1)
    def forward(self, x):
        come = ((x[:, :, None] - self.low) / self.width).clamp(0, 1)
        return torch.cat([x, (torch.einsum('bnf,nfo->bno', come, self.mix) + self.bias).flatten(1)], 1)


class Robust(nn.Module):
    "Median 0, quartiles 1 apart, and nothing beyond 3."
    def __init__(self, x):
        super().__init__()
        low, mid, high = torch.quantile(x, torch.tensor([.25, .5, .75]), dim=0)
        spread = torch.where(high > low, high - low, (x.amax(0) - x.amin(0)) / 2).clamp(min=1e-6)
        self.register_buffer('mid', mid)
        self.register_buffer('spread', spread)
    def forward(self, x):
        x = (x - self.mid) / self.spread
        return x / (1 + (x / 3)**2).sqrt()


class Sloped(nn.Module):
    "Between the identity and Mish, each activation where it likes."
    def __init__(self, n):
        super().__init__()
        self.a = nn.Parameter(torch.ones(n))
    def forward(self, x): return x + self.a * (nn.functional.mish(x) - x)


class Net(nn.Module):
    "Our `TabularModel` with other parts."
    def __init__(self, dls, layers, ps, y_range=None, embed_p=0., front=None, robust=False, scales=False, heads=1):
        super().__init__()
        x = dls.train.dataset.tensors[1].float()
        self.first = Robust(x) if robust else nn.BatchNorm1d(x.shape[1])
        with torch.no_grad(): x = self.first(x)
        self.front = Periodic(x.shape[1]) if front == 'periodic' else Piecewise(x) if front == 'piecewise' else None
        n_num, out = x.shape[1] if self.front is None else self.front.n_out, dls.c
        base = TabularModel(get_emb_sz(dls), n_num, out, layers, ps=ps, bn_cont=False)
        self.embeds, self.places, blocks = base.embeds, base.places, list(base.layers)
        self.emb_drop = nn.Dropout(embed_p)
        n_in = base.n_emb + n_num
        if scales:
            for block in blocks[:-1]: block[1] = Sloped(block[0].out_features)
        self.scale = nn.Parameter(torch.ones(heads, n_in) if heads == 1 else torch.randint(0, 2, (heads, n_in)) * 2. - 1) if scales or heads > 1 else None
        self.hidden, n = nn.Sequential(*blocks[:-1]), layers[-1]
        self.w = nn.Parameter((torch.rand(heads, n, out) * 2 - 1) * n**-.5)
        self.b, self.ends = nn.Parameter(torch.zeros(heads, out)), SigmoidRange(*y_range) if y_range else nn.Identity()

    def forward(self, cat, cont):
        x = self.first(cont)
        if self.front is not None: x = self.front(x)
        emb, k = self.emb_drop(look_up(self.embeds, cat, self.places if self.training else None)), len(self.w)
        x = torch.cat([emb, x], 1)
        if self.scale is not None: x = x[:, None] * self.scale
        h = self.hidden(x.reshape(-1, x.shape[-1])).reshape(len(cat), k, -1)
        y = self.ends(torch.einsum('bkn,kno->bko', h, self.w) + self.b)
        if self.training and k > 1: return y
        return y.mean(1) if y.shape[-1] == 1 else y.log_softmax(-1).exp().mean(1).log() if k > 1 else y[:, 0]


def coslog(lr):
    "Four waves, each twice as long as the one before."
    return lambda pos: lr * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * pos))) / 2


def fit(dls, part, epochs, lr, loss, layers, ps, y_range=None, embed_p=0., metrics=None):
    "A learner, trained; `loss` takes (batch, outputs) and the targets."
    from functools import partial

    import course_lib.callback.schedule as schedule
    from course_lib.optimizer import Adam
    from course_lib.tabular.learner import TabularLearner
    chosen = dict(of_part.get(part, {}))
    use = dict(layers=chosen.pop('layers', layers), ps=chosen.pop('ps', ps), y_range=y_range, embed_p=embed_p)
    waves = chosen.pop('coslog', False)
    def of_all(preds, targs): # with several heads, each has to be right by itself
        if preds.dim() < 3: return loss(preds, targs)
        return loss(preds.flatten(0, 1), targs.repeat_interleave(preds.shape[1], 0))
    learn = TabularLearner(dls, Net(dls, **use, **chosen), loss_func=of_all, metrics=metrics,
                           opt_func=partial(Adam, sqr_mom=.95, eps=1e-8) if waves else Adam)
    with learn.no_bar(), learn.no_logging():
        if waves: learn.fit(epochs, lr, cbs=schedule.ParamScheduler(dict(lr=coslog(lr))))
        else: learn.fit_one_cycle(epochs, lr)
    return learn
