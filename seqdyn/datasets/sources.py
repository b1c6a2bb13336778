"""Files of others: where each comes from, how it is found, and the check of its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """Where a file comes from: its name in ``SEQDYN_DATA``, its SHA-256, its address or None, and its origin.

    Examples
    --------
    >>> SOURCES["air_passengers"].file
    'air_passengers.csv'
    """

    file: str
    sha256: str
    url: str | None
    origin: str


_DARTS = "https://raw.githubusercontent.com/unit8co/darts/master/datasets"
_M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset"
_MNIST = "MNIST of LeCun, Cortes & Burges, binarised once and for all by Salakhutdinov & Murray (2008)"
_DAISY = "DaISy, De Moor (ed.), KU Leuven, https://homes.esat.kuleuven.be/~smc/daisy/daisydata.html"
_SALAMANDER = (
    "Karakasiliotis, Schilling, Cabelguen & Ijspeert (2013), Where are we in understanding salamander locomotion; "
    "mean cycles as in https://github.com/AlexPazzaglia/SalamandraSNN, MIT licence"
)
_CMU = (
    "CMU Graphics Lab Motion Capture Database, http://mocap.cs.cmu.edu; clips as in "
    "https://github.com/chaneyddtt/Convolutional-Sequence-to-Sequence-Model-for-Human-Dynamics, MIT licence"
)
_MAKRIDAKIS = "Makridakis, Spiliotis & Assimakopoulos (2018), The M4 Competition"

# SHA-256 of the files that come in several parts.
_M4_HOURLY = {
    "train": "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
    "test": "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
}
_MNIST_FILES = {
    "train": "79a0312c7389d855cfc97e3812de3998417c5829d8a51543b56a90a91252ae7e",
    "valid": "7436afc856959075c7787025bb8a4ba2b520b9230ee39667c66aa7dd2819dd68",
    "test": "5bc30222e1e7896cbccd1e1db6b28540cc1230f4d2d5473841a5f6cc54be8d38",
}
_SALAMANDER_FILES = {
    "swimming": "7a14a4eecb8afd4b0094ddf5c138c3b637e64a83b70106d4ace6ec923569b509",
    "walking": "146af3f6a1bb094eb1e392ccef0341cbd797579ae99a00103d70bc54c5c98a48",
}
_CMU_FILES = {
    "train_1": "594fd1ec95dd385dfaa04e4230ebc047b4917ecc0615629a6a92f11d7dd3ca49",
    "train_2": "9f00af52c9361f16df6820846141e282b4d4958edae4952c486f141da8ff7f92",
    "train_3": "f5ff48a358d4de2eb95a10d69d0a7195bfb4da51ee6203aab3bf842bac352d03",
    "train_4": "608910282c0ad1cbeef718cdd835481a703557146524b68eefbb5ec792544e61",
    "train_5": "a955054b2a4fd3207f2feac395c0e51e3468daff2b5d25eb6d5fd7e584b44efe",
    "test_1": "189d6f44e6193520e6438692bce77c6b6594a8c26ead09d90b63c88acbbe3363",
}
_DAISY_FILES = (
    ("dryer", "96-006", "adcb2f5a1d9e174d08dd49f7f037626745b5e69cbda0bc1e8dca2a7c687d4538"),
    ("heating_system", "99-001", "3bfbe8424719830870b153067eeff40ebff3afb0204c150ed7103b5d6c1908bc"),
)

SOURCES = {
    "air_passengers": Source(
        "air_passengers.csv",
        "5f8b316b84545d9cfb05612298df8415ce4c44421c7012d109465564b07ebc06",
        f"{_DARTS}/AirPassengers.csv",
        "Box & Jenkins (1970), Time Series Analysis, series G",
    ),
    "gas_furnace": Source(
        "gasrate_co2.csv",
        "da1474ddd1de5133fe1735b1204bd5f3ab819787958e9edcddaecfd6f05c758d",
        f"{_DARTS}/gasrate_co2.csv",
        "Box & Jenkins (1970), Time Series Analysis, series J",
    ),
    "etth1": Source(
        "etth1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        "Zhou et al. (2021), Informer; CC BY-ND 4.0",
    ),
    "cascaded_tanks": Source(
        "cascaded_tanks.csv",
        "7416cb2aeb97c0775f2d9fdd4be698024d49608f8b0a8e767755c5ecb2bb023c",
        None,
        "Schoukens & Noël (2017), the CSV file of the Cascaded Tanks benchmark, https://www.nonlinearbenchmark.org",
    ),
    "tiny_shakespeare": Source(
        "tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "Karpathy (2015), char-rnn; the text is in the public domain",
    ),
    **{
        f"m4_hourly_{part}": Source(
            f"m4_hourly_{part}.csv", sha256, f"{_M4}/{part.title()}/Hourly-{part}.csv", _MAKRIDAKIS
        )
        for part, sha256 in _M4_HOURLY.items()
    },
    **{
        f"daisy_{name}": Source(f"daisy/{name}.dat", sha256, None, f"{_DAISY}, data set {number}")
        for name, number, sha256 in _DAISY_FILES
    },
    **{
        f"binarized_mnist_{part}": Source(f"binarized_mnist/{part}.amat", sha256, None, _MNIST)
        for part, sha256 in _MNIST_FILES.items()
    },
    **{
        f"salamander_{gait}": Source(f"salamander/{gait}.csv", sha256, None, _SALAMANDER)
        for gait, sha256 in _SALAMANDER_FILES.items()
    },
    **{
        f"cmu_walking_{clip}": Source(f"cmu_walking/{clip}.txt", sha256, None, _CMU)
        for clip, sha256 in _CMU_FILES.items()
    },
}
"""Every file of ``fetch_*``."""


def fetch(name: str) -> Path:
    """Find a file of :data:`SOURCES` in the folder ``SEQDYN_DATA``, in pooch's cache, or on the network.

    Parameters
    ----------
    name : str
        A key of :data:`SOURCES`.

    Returns
    -------
    Path
        The file, its SHA-256 checked.

    Raises
    ------
    FileNotFoundError
        If it is in none of these places; the message says where to get it and where to put it.
    ValueError
        If its SHA-256 is not the expected one; the message gives both.

    Notes
    -----
    The folder is searched first: a file with the right name there is used or refused, never ignored.

    Examples
    --------
    >>> fetch("air_passengers").is_file()  # doctest: +SKIP
    True
    """
    source = SOURCES[name]
    folder = os.environ.get("SEQDYN_DATA")
    local = Path(folder or "", source.file)
    if folder and local.is_file():
        return _verified(local, source)
    if source.url is None:
        raise FileNotFoundError(_missing_message(source, "it has no stable public address"))
    return _download(source)


def _verified(path: Path, source: Source) -> Path:
    """The path, if the file has the expected SHA-256."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {source.sha256}: it is damaged, or another edition. "
            f"It comes from {source.url or source.origin}."
        )
    return path


def _download(source: Source) -> Path:
    import pooch

    try:
        path = pooch.retrieve(
            source.url, known_hash=f"sha256:{source.sha256}", fname=source.file, path=pooch.os_cache("seqdyn")
        )
    except OSError as error:
        raise FileNotFoundError(_missing_message(source, f"downloading {source.url} failed ({error})")) from error
    return Path(path)


def _missing_message(source: Source, reason: str) -> str:
    folder = os.environ.get("SEQDYN_DATA")
    where = f"the folder SEQDYN_DATA={folder}" if folder else "a folder and set the variable SEQDYN_DATA to it"
    return f"There is no local copy of {source.file}, and {reason}. Put it into {where}. It is from: {source.origin}."
