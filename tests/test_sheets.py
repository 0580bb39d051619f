"The course's spreadsheets, recalculated by LibreOffice, agree with PyTorch."
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.data.drawn_digits import draw_digit
from course_lib.sheets.collab import collab_filter, rmse_known
from course_lib.sheets.conv import conv_example
from course_lib.sheets.core import find_office, recalculated, value_of
from course_lib.sheets.entropy import entropy_example
from course_lib.sheets.graddesc import descend, graddesc, graddesc_tabs, line_points

needs_office = pytest.mark.skipif(find_office() is None, reason='LibreOffice is not installed (Debian: libreoffice-calc)')


@needs_office
def test_convolution(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 10))
    digit = torch.tensor(np.array(draw_digit(3, seed=1))) / 255
    blocks = conv_example(tmp_path/'conv-example.xlsx', net, digit)
    values = recalculated(tmp_path/'conv-example.xlsx')
    with torch.no_grad():
        for name, n in dict(conv1=2, conv2=4, pool=5).items():
            for block, expected in zip(blocks[name], net[:n](digit[None, None])[0]):
                np.testing.assert_allclose(value_of(values, block), expected.numpy(), atol=1e-5)
        np.testing.assert_allclose(value_of(values, blocks['softmax'])[0], net(digit[None, None])[0].softmax(0).numpy(), atol=1e-5)


@needs_office
def test_entropy(tmp_path):
    torch.manual_seed(0)
    outputs, truth, present = torch.randn(6, 3) * 3, torch.randint(0, 3, (6,)), (torch.rand(6, 3) > 0.5).float()
    blocks = entropy_example(tmp_path/'entropy_example.xlsx', list('abc'), outputs, truth, present)
    values = recalculated(tmp_path/'entropy_example.xlsx')
    got = {name: value_of(values, blocks[name]['mean']).item() for name in ('softmax', 'sigmoid')}
    assert got['softmax'] == pytest.approx(F.cross_entropy(outputs, truth).item(), abs=1e-5)
    assert got['sigmoid'] == pytest.approx(F.binary_cross_entropy_with_logits(outputs, present).item(), abs=1e-5)


@needs_office
def test_factorisation(tmp_path):
    "Both kinds of tab, with holes in the table and names that are not numbers."
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(1, 11, (12, 9)) / 2, [f'user {i}' for i in range(12)], rng.permutation(9) * 7)
    table = table.mask(rng.random(table.shape) < .2)
    blocks = collab_filter(tmp_path/'collab_filter.xlsx', table, n_factors=3)
    models, values = blocks.pop('models'), recalculated(tmp_path/'collab_filter.xlsx')
    for name, model in models.items():
        np.testing.assert_allclose(value_of(values, blocks[name]['pred']), model().detach().numpy(), atol=1e-5)
        assert value_of(values, blocks[name]['rmse']).item() == pytest.approx(rmse_known(model(), table).item(), abs=1e-5)
    start = models['dot product']
    at = torch.tensor(table.notna().values).nonzero()
    listed = (start.users[at[:, 0]] * start.films[at[:, 1]]).sum(1)      # an embedding is a lookup
    np.testing.assert_allclose(value_of(values, blocks['lookup']['pred'])[:, 0], listed.detach().numpy(), atol=1e-5)
    np.testing.assert_array_equal(value_of(values, blocks['lookup']['places']), at.numpy() + 1)
    assert value_of(values, blocks['lookup']['rmse']).item() == pytest.approx(rmse_known(start(), table).item(), abs=1e-5)


@needs_office
def test_gradient_descent(tmp_path):
    "Every step of every tab is the step of torch's own optimizer."
    x, y = line_points(40, slope=-1.5, intercept=12., seed=7)
    blocks, ours = graddesc(tmp_path/'graddesc.xlsx', x, y), dict(betas=(.9, .99), eps=1e-5)
    theirs = {'derivatives': lambda ps: torch.optim.SGD(ps, lr=1e-4),
              'momentum': lambda ps: torch.optim.SGD(ps, lr=1e-5, momentum=.9),
              'adam': lambda ps: torch.optim.Adam(ps, lr=1., **ours),
              'adam with l2': lambda ps: torch.optim.Adam(ps, lr=1., weight_decay=.01, **ours),
              'adamw': lambda ps: torch.optim.AdamW(ps, lr=1., weight_decay=.01, **ours)}
    assert set(theirs) == set(graddesc_tabs) - {'finite differences'}
    values = recalculated(tmp_path/'graddesc.xlsx')
    for name, make in theirs.items():
        steps, errors = descend(x, y, make)
        np.testing.assert_allclose(value_of(values, blocks[name]['steps']), steps.numpy(), atol=1e-5)
        assert value_of(values, blocks[name]['rmse']).item() == pytest.approx(errors.mean().sqrt().item(), rel=1e-5)
