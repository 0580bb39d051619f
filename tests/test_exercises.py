"Every check of an exercise answers in words, whatever it is given, and praises no constant."
import importlib
import pkgutil

import pytest
import torch

import course_lib.exercises

constants = [None, ..., 0, 1, -1, 0.5, 2, 10, 100, 1000, True, False, '', 'a', 'all good', [], [0], [1], (), {}, (0, 0), [[0.]],
             torch.zeros(()), torch.ones(3), torch.zeros(2, 2)]
names = [o.name for o in pkgutil.iter_modules(course_lib.exercises.__path__, 'course_lib.exercises.')]
checks = [(m, k) for m in names for k in vars(importlib.import_module(m)) if k.startswith('check_')]


@pytest.mark.parametrize('module,name', checks, ids=[f'{m.rpartition(".")[2]}.{k}' for m, k in checks])
def test_no_constant_is_praised(module, name):
    check = getattr(importlib.import_module(module), name)
    for value in constants:
        for answer, what in ((value, repr(value)), (lambda *args, **kwargs: value, f'a function that returns {value!r}')):
            said = check(answer)
            assert isinstance(said, str) and said, f'{name} answers {said!r} to {what}: it should be a line of advice'
            assert said != 'all good', f'{name} praises {what}'


def test_checks_live_with_the_exercises():
    "No check of an exercise stands in a module of the library."
    from nbs import cells, module, notebooks
    bad = [f'{module(p)}: {line.split("(")[0]}' for p in notebooks() if module(p) and not module(p).startswith('exercises.')
           for c in cells(p) if c.exported for line in c.code.split('\n') if line.startswith('def check_')
           and ('your function' in c.code or 'all good' in c.code)]
    assert not bad, f'move them to course_lib.exercises: {bad}'
