"A net that reads a text whose entropy is known: the recipe comes near it, as it stands, and nothing can get below."
import pytest

from course_lib.apps.nietzsche import train


@pytest.fixture(scope='module')
def result(): return train('sample', chars=0)


def test_near_the_entropy(result):
    "Within 0.05 nats of the best reader, far below counting, and not below what is possible."
    best = result.baselines['the best reader']['nats']
    counts = next(v['nats'] for k, v in result.baselines.items() if k.startswith('counts'))
    assert best - .005 < result.metrics['nats'] < best + .05 < counts - .1, result.summary()


def test_the_floor_can_fail(result):
    "A plain cell in two passes stays outside: the border is no formality."
    plain = train('sample', 'rnn', epochs=2, chars=0)
    assert plain.metrics['nats'] > result.baselines['the best reader']['nats'] + .1, plain.summary()
