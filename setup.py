"Hands the fields of settings.ini to setuptools; everything else about the build is in pyproject.toml."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class WithResults(build_py):
    "The results of the measurements go into the package, so that a lesson shows them wherever it is run."
    def run(self):
        super().run()
        if self.editable_mode: return   # there they are found beside the package
        to = Path(self.build_lib)/'course_lib'/'measured'
        to.mkdir(parents=True, exist_ok=True)
        for f in (Path(__file__).parent/'benchmarks'/'results').glob('*.json'): self.copy_file(str(f), str(to/f.name))


parser = ConfigParser(delimiters=['='])
parser.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
extras = {k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')}

setup(name=cfg['name'], version=cfg['version'], description=cfg['description'],
      author=cfg['author'], author_email=cfg['author_email'], license=cfg['license'],
      keywords=[k.strip() for k in cfg['keywords'].split(',')], python_requires='>=' + cfg['min_python'],
      project_urls={'Repository': cfg['repository'], 'Issues': cfg['repository'] + '/issues'},
      cmdclass=dict(build_py=WithResults),
      packages=find_packages(include=['course_lib', 'course_lib.*']), include_package_data=True,
      install_requires=cfg['requirements'].split(), extras_require=extras,
      entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': ['course_lib=course_lib._modidx:d']})
