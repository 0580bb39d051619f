"What every test stands on: one thread a process, generated data, no windows, no bars; set before torch is imported."
import os

for name, value in dict(OMP_NUM_THREADS='1', COURSE_LIB_DATA='sample', TQDM_DISABLE='1', MPLBACKEND='agg').items():
    os.environ.setdefault(name, value)
