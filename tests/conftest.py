"What every test stands on: one thread a process, generated data, no windows, no bars; a warning of ours is an error."
import gc
import os
import warnings

for name, value in dict(OMP_NUM_THREADS='1', COURSE_LIB_DATA='sample', TQDM_DISABLE='1', MPLBACKEND='agg').items():
    os.environ.setdefault(name, value)   # before torch is imported

import pytest


@pytest.fixture(autouse=True)
def our_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.filterwarnings('error', module=r'course_lib(\.|$)')
        yield


def pytest_collection_finish(session):
    "What is there before the first test stays to the end: the collector need not look through it again and again."
    gc.freeze()
