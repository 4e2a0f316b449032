"""JetClass-II (arXiv:2405.12972): 188 kinds of large-radius jets; Hugging Face `jet-universe/jetclass2`.

The columns of particles and jets are those of JetClass; the class is a number.
"""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.jetclass import JETCLASS
from hepjax.types import Index

_TWO_PRONGED = """
    bb cc ss qq bc cs bq cq sq gg ee mm tauhtaue tauhtaum tauhtauh
"""
_RESONANT = """
    bbbb bbcc bbss bbqq bbgg bbee bbmm bbtauhtaue bbtauhtaum bbtauhtauh bbb bbc bbs bbq bbg bbe bbm cccc ccss
    ccqq ccgg ccee ccmm cctauhtaue cctauhtaum cctauhtauh ccb ccc ccs ccq ccg cce ccm ssss ssqq ssgg ssee ssmm
    sstauhtaue sstauhtaum sstauhtauh ssb ssc sss ssq ssg sse ssm qqqq qqgg qqee qqmm qqtauhtaue qqtauhtaum
    qqtauhtauh qqb qqc qqs qqq qqg qqe qqm gggg ggee ggmm ggtauhtaue ggtauhtaum ggtauhtauh ggb ggc ggs ggq ggg
    gge ggm bee cee see qee gee bmm cmm smm qmm gmm btauhtaue ctauhtaue stauhtaue qtauhtaue gtauhtaue btauhtaum
    ctauhtaum stauhtaum qtauhtaum gtauhtaum btauhtauh ctauhtauh stauhtauh qtauhtauh gtauhtauh qqqb qqqc qqqs
    bbcq ccbs ccbq ccsq sscq qqbc qqbs qqcs bcsq bcs bcq bsq csq bcev csev bqev cqev sqev qqev bcmv csmv bqmv
    cqmv sqmv qqmv bctauev cstauev bqtauev cqtauev sqtauev qqtauev bctaumv cstaumv bqtaumv cqtaumv sqtaumv
    qqtaumv bctauhv cstauhv bqtauhv cqtauhv sqtauhv qqtauhv
"""
_QCD = """
    bbccss bbccs bbcc bbcss bbcs bbc bbss bbs bb bccss bccs bcc bcss bcs bc bss bs b ccss ccs cc css cs c ss s
    light
"""
QCD_CLASSES = tuple(f"QCD_{flavors}" for flavors in _QCD.split())
CLASSES = (
    *(f"X_{decay}" for decay in _TWO_PRONGED.split()),
    *(f"X_YY_{decay}" for decay in _RESONANT.split()),
    *QCD_CLASSES,
)
"""Decays of a resonance X to two partons or leptons, or by two resonances Y to three or four; then QCD by flavor."""

JETCLASS2 = register(
    "jetclass2",
    dataclasses.replace(
        JETCLASS,
        name="jetclass2",
        classes=CLASSES,
        labels=Index("jet_label"),
        observers=tuple(f"genjet_{name}" for name in ("pt", "eta", "phi", "energy", "sdmass", "nparticles")),
        background=QCD_CLASSES,
    ),
)
