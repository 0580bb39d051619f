"""Somebody presses stop, between any two lines of the training loop: afterwards the learner has its callbacks, and works."""
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.callback import core
from course_lib.callback.core import Callback
from course_lib.learner import Learner
import course_lib.learner as learner_module

watched = {core.__file__, learner_module.__file__}


class Other(Callback): pass


def interrupted_at(n, work):
    "Run `work`, interrupted before the n-th line of the loop; did it get that far?"
    left = [n]
    def trace(frame, event, arg):
        if frame.f_code.co_filename not in watched: return None
        if event == 'line':
            left[0] -= 1
            if left[0] == 0: raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try: work()
    except KeyboardInterrupt: pass
    finally: sys.settrace(None)
    return left[0] <= 0


def learner(tmp_path):
    data = SimpleNamespace(train=[(torch.ones(4, 2), torch.zeros(4, 1))] * 2, valid=[(torch.ones(4, 2), torch.zeros(4, 1))], path=tmp_path)
    learn = Learner(data, nn.Linear(2, 1), F.mse_loss, cbs=Other)
    learn.bars = learn.logging = False
    return learn


works = dict(fit=lambda learn: learn.fit(1, cbs=Callback()), validate=lambda learn: learn.validate(cbs=Callback()),
             get_preds=lambda learn: learn.get_preds())


@pytest.mark.parametrize('name', ['fit', 'validate', 'get_preds'])
def test_any_line(name, tmp_path):
    learn, n, tried = learner(tmp_path), 1, 0
    before = list(learn.cbs)
    while interrupted_at(n, lambda: works[name](learn)):
        assert list(learn.cbs) == before, f'line {n}'
        assert learn.other is before[-1] and all(getattr(learn, cb.name) is cb for cb in before), f'line {n}'
        n, tried = n + (1 if n < 60 else 31), tried + 1
    assert tried > 50
    learn.fit(1)
    assert list(learn.cbs) == before and len(learn.validate()) == 1


def test_those_who_came_by_hand_stay(tmp_path):
    learn = learner(tmp_path)
    with learn.added_cbs(Callback()): assert len(learn.grab_cbs(Callback)) == len(learn.cbs)
    learn.add_cb(late := Callback())
    learn.validate()
    with learn.removed_cbs(Other): assert not learn.grab_cbs(Other)
    assert learn.cbs[-1] is late or late in list(learn.cbs)
    assert learn.grab_cbs(Other)
