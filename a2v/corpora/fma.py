"""FMA, the Free Music Archive: clips or whole tracks with genres, artists and splits of its own.

Defferrard, Benzi, Vandergheynst and Bresson 2017, "FMA: A Dataset for Music Analysis", ISMIR;
https://github.com/mdeff/fma.
"""

import csv
import warnings
from pathlib import Path

from a2v.corpora.track import Track
from a2v.errors import A2VError, A2VWarning

# Each one holds those before it; `fma_full` are the tracks of `fma_large` untrimmed.
SUBSETS = ("small", "medium", "large", "full")
SPLITS = {"training": "train", "validation": "tune", "test": "test"}
METADATA = Path("fma_metadata", "tracks.csv")
COLUMNS = (("set", "split"), ("set", "subset"), ("track", "genre_top"), ("artist", "name"))
# Clips shorter than 30 s, most of them empty: they were cut at a place that a wrong length in the
# metadata gave, so that the whole tracks are sound. From the list that the authors keep of
# `fma_medium`, https://github.com/mdeff/fma/wiki; those of `fma_small` are among them. Of the rest
# of `fma_large` there are more; what cannot be decoded is reported when it is read.
SHORT_CLIPS = frozenset(
    (1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571)
    + (99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992)
)
# Biographies may be longer than what `csv` takes for a field by default.
LONGEST_FIELD = 1 << 24


def recognises(folder):
    """Whether a folder holds `fma_metadata` or `fma_SUBSET`, or is such an `fma_SUBSET`."""
    return Path(folder, METADATA.parent).is_dir() or bool(_subsets(Path(folder)))


def read(folder):
    """Reads FMA.

    Args:
        folder: path of a folder with `fma_metadata/tracks.csv` and one of `fma_small`,
            `fma_medium`, `fma_large`, `fma_full`; or of one of these with `fma_metadata` beside
            it.

    Returns:
        list of Track in the order of `tracks.csv`, named like `000/000002.mp3`, with artist,
        genre (the one at the top; "" where there are several) and split. `SHORT_CLIPS` are left
        out but for `fma_full`, and, with a warning, clips whose files are not there.

    Raises:
        A2VError: audio or metadata are missing or malformed, or there is more than one subset.
    """
    home, metadata = _places(Path(folder))
    rows = _rows(metadata)
    files = _files(home, rows, metadata)
    subset = home.absolute().name.removeprefix("fma_")
    found = [
        Track(str(files[number]), _name(number), "", artist, genre, SPLITS[split])
        for number, split, _, genre, artist in _members(rows, subset)
        if number in files
    ]
    if not found:
        raise A2VError(f"{home}: no clips such as 000/000002.mp3; unpack fma_{subset}.zip again")
    missing = [_name(row[0]) for row in _members(rows, subset) if row[0] not in files]
    if missing:
        warnings.warn(
            f"{home}: {len(missing)} of {len(missing) + len(found)} clips are not there, the "
            f"first is {missing[0]}; unpack fma_{subset}.zip again to have them all",
            A2VWarning,
            stacklevel=2,
        )
    return found


def _files(home, rows, metadata):
    """The files of clips by their numbers."""
    files = {int(file.stem): file for file in home.glob("[0-9]*/[0-9]*.mp3") if file.stem.isdigit()}
    strange = sorted(files.keys() - {row[0] for row in rows})
    if strange:
        raise A2VError(
            f"{metadata}: no row of track {strange[0]}, which is {files[strange[0]]}; "
            "unpack metadata and audio of the same release"
        )
    return files


def _name(number):
    return f"{number // 1000:03d}/{number:06d}.mp3"


def _members(rows, subset):
    """The rows of a subset and of those within it, less clips that are too short."""
    names = SUBSETS[: SUBSETS.index(subset) + 1]
    left_out = frozenset() if subset == "full" else SHORT_CLIPS
    return [row for row in rows if row[2] in names and row[0] not in left_out]


def _subsets(folder):
    """The folders of audio: the folder itself, or those in it."""
    names = [f"fma_{subset}" for subset in SUBSETS]
    if folder.absolute().name in names and folder.is_dir():
        return [folder]
    return [folder / name for name in names if (folder / name).is_dir()]


def _places(folder):
    """The folder of audio and the path of `tracks.csv`."""
    subsets = _subsets(folder)
    if not subsets:
        raise A2VError(
            f"{folder / METADATA}: no audio beside it; unpack one of fma_small.zip, "
            f"fma_medium.zip, fma_large.zip, fma_full.zip in {folder}"
        )
    if len(subsets) > 1:
        raise A2VError(
            f"{folder}: holds the same music as {', '.join(path.name for path in subsets)}; "
            "give one of these folders"
        )
    metadata = (folder if subsets != [folder] else folder.absolute().parent) / METADATA
    if not metadata.is_file():
        raise A2VError(
            f"{metadata}: no such file, and {subsets[0]} needs it; unpack fma_metadata.zip there"
        )
    return subsets[0], metadata


def _rows(path):
    """The rows of `tracks.csv`: tuples of track_id and the values of `COLUMNS`."""
    limit = csv.field_size_limit(LONGEST_FIELD)
    rows, first_row = [], {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            places = _header(path, [next(reader, []) for _ in range(3)])
            for row in reader:
                values = _row(path, reader.line_num, row, places)
                if values[0] in first_row:
                    raise _malformed(
                        path,
                        reader.line_num,
                        f"track {values[0]} is already in row {first_row[values[0]]}",
                    )
                first_row[values[0]] = reader.line_num
                rows.append(values)
    except OSError as error:
        raise A2VError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        number = max(first_row.values(), default=0)
        raise _malformed(path, f"after {number}", f"is no CSV in UTF-8 ({error})") from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _header(path, rows):
    """Where `COLUMNS` stand: two rows name each column, the third one the index."""
    names = list(zip(rows[0], rows[1], strict=False))
    for column in COLUMNS:
        if column not in names:
            raise _malformed(path, "1 and 2", f"no column {'/'.join(column)} in these")
    if rows[2][:1] != ["track_id"]:
        raise _malformed(path, 3, f"begins with {''.join(rows[2][:1])!r} instead of 'track_id'")
    return [names.index(column) for column in COLUMNS]


def _row(path, number, row, places):
    if len(row) <= max(places):
        raise _malformed(path, number, f"{len(row)} columns, {max(places) + 1} or more are needed")
    split, subset, genre, artist = (row[place].strip() for place in places)
    if not row[0].isdigit():
        raise _malformed(path, number, f"track_id {row[0]!r} is no number")
    if split not in SPLITS:
        raise _malformed(path, number, f"split {split!r} is none of {', '.join(SPLITS)}")
    if subset not in SUBSETS:
        raise _malformed(path, number, f"subset {subset!r} is none of {', '.join(SUBSETS)}")
    return int(row[0]), split, subset, genre, artist


def _malformed(path, row, what):
    return A2VError(f"{path}: row {row}: {what}; unpack fma_metadata.zip again")
