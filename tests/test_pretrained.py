"The net that has seen: the same answers as the ports its weights were published for, and nothing else in its file."
import pytest
import torch

from course_lib.vision.efficientnet import efficientnet_lite0, lite0_file, lite0_weights
from course_lib.vision.models import create_body, load_torchvision, load_weights


@pytest.fixture(scope='module')
def ours():
    net = efficientnet_lite0().eval()
    net.load_state_dict(lite0_weights())
    return net


def same(ours, theirs, *sizes):
    for size in sizes:
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad(): a, b = ours(x), theirs(x)
        assert a.std() > 0.5
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_as_the_published_port(ours):
    port = pytest.importorskip('efficientnet_lite_pytorch', reason='the extra `dev` brings it')
    theirs = port.EfficientNet.from_pretrained('efficientnet-lite0', weights_path=str(lite0_file())).eval()
    same(ours, theirs, (224, 224), (96, 96), (160, 128))   # it pads for one size: right for multiples of 32


def test_as_timm_at_odd_sizes(ours):
    load_torchvision()   # timm imports it
    timm = pytest.importorskip('timm', reason='pip install "course_lib[timm]"')
    theirs = timm.create_model('tf_efficientnet_lite0', pretrained=False).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    same(ours, theirs, (224, 224), (97, 131), (60, 75), (33, 32))


def test_odd_sizes_by_hand():
    "TensorFlow's rule, written out: output ⌈n/s⌉; of the missing pixels, the larger half goes right and below."
    from course_lib.vision.efficientnet import SameConv2d
    for n in range(3, 20):
        for ks in (3, 5):
            conv, x = SameConv2d(1, 1, ks, stride=2), torch.randn(1, 1, n, n)
            out = -(-n // 2)
            total = max((out - 1) * 2 + ks - n, 0)
            wide = torch.zeros(n + total, n + total)
            wide[total // 2:total // 2 + n, total // 2:total // 2 + n] = x[0, 0]
            hand = torch.stack([torch.stack([(wide[2*i:2*i + ks, 2*j:2*j + ks] * conv.weight[0, 0]).sum() for j in range(out)])
                                for i in range(out)])
            torch.testing.assert_close(conv(x)[0, 0], hand)


def test_only_the_published_file(ours, tmp_path):
    "One bit more or less, and the file is refused by name before a network is changed."
    data = bytearray(lite0_file().read_bytes())
    for at in (0, len(data) // 2, len(data) - 1):
        data[at] ^= 1
        (tmp_path/'w.pth').write_bytes(data)
        with pytest.raises(ValueError, match='w.pth is damaged or not the published file'): lite0_weights(tmp_path/'w.pth')
        data[at] ^= 1
    (tmp_path/'w.pth').write_bytes(data)
    body = create_body('efficientnet_lite0')
    torch.testing.assert_close(body.eval()(torch.ones(1, 3, 64, 64)), ours[:-3](torch.ones(1, 3, 64, 64)))
    load_weights(efficientnet_lite0(), efficientnet_lite0)
    with pytest.raises(RuntimeError, match='does not fit'): load_weights(efficientnet_lite0(10), efficientnet_lite0)
